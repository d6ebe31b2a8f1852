"""The command line: `tokenhud` chats; `tokenhud ask`, `bench`, `replay`, ... need no screen."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from . import __version__
from .arguments import EXIT_ERROR, Parser, chosen, given_options, options, take_profile
from .doctoring import add_doctor, add_serve
from .engines.events import EngineError
from .engines.options import OptionError, Sampling, Spec
from .measuring import add_measuring, completed
from .saved import add_sessions
from .sessions.clean import clean
from .sessions.config import SYSTEM, Config, config_path, read_config


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns its exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    given = parser().parse_args(completed(words))
    try:
        with ended_by_hang_up():
            given.config = _config(given)
            status: int = given.run(given)
    except (EngineError, OptionError) as error:
        print(f"tokenhud: {clean(str(error))}", file=sys.stderr)
        return EXIT_ERROR
    except BrokenPipeError:  # the reader of our output left, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception:  # a bug; Python's own status for it, 1, would say "a regression"
        traceback.print_exc()
        return EXIT_ERROR
    return status


@contextmanager
def ended_by_hang_up() -> Iterator[None]:
    """A terminal that is gone, or a request to end, leaves through every `finally`: what was said
    so far is recorded and no engine stays."""
    names = [each for each in ("SIGHUP", "SIGTERM") if hasattr(signal, each)]
    numbers = [getattr(signal, each) for each in names]
    if threading.current_thread() is not threading.main_thread():
        numbers = []

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def parser() -> Parser:
    whole = Parser(prog="tokenhud", description=__doc__, parents=[options()])
    whole.add_argument("--version", action="version", version=f"tokenhud {__version__}")
    whole.add_argument("--plain", action="store_true", help="chat line by line, no full screen")
    whole.add_argument("--load", metavar="NAME", help="go on with a saved session")
    whole.set_defaults(run=_chat)
    commands = whole.add_subparsers(title="commands", parser_class=Parser, metavar="COMMAND")

    ask = commands.add_parser("ask", parents=[options()], help="answer one message and leave")
    ask.add_argument("text", nargs="*", help="the message; standard input is added to it")
    ask.add_argument("--json", action="store_true", help="print answer and figures as JSON")
    ask.add_argument("--log", metavar="FILE", type=Path, help="write the session's log here")
    ask.set_defaults(run=_ask)

    for name, run, about in (
        ("verify", _verify, "check that no drafter changes the answer to a message"),
        ("tune", _tune, "try several γ on a message"),
    ):
        trial = commands.add_parser(name, parents=[options()], help=about)
        trial.add_argument("text", nargs="*", help="the message; standard input is added to it")
        trial.add_argument("--json", action="store_true", help="print the results as JSON")
        trial.set_defaults(run=run)
    add_sessions(commands)
    add_measuring(commands)
    add_doctor(commands)
    add_serve(commands)
    return whole


def _config(given: argparse.Namespace) -> Config:
    """What the file says, for a chat and for `ask`; elsewhere only the profile that was asked for,
    since figures must not hang on a file that nobody named."""
    named = hasattr(given, "profile")
    if not named and given.run not in (_chat, _ask):
        return Config(config_path())
    config = read_config(config_path())
    if given.run is not _chat:  # which tells them itself
        for problem in config.problems:
            print(clean(problem), file=sys.stderr)
    if named:
        take_profile(given, config)
    return config


def _chat(given: argparse.Namespace) -> int:
    from .tui.start import chat_in_terminal

    return chat_in_terminal(
        chosen(Spec, given, given.config.settings),
        chosen(Sampling, given, given.config.settings),
        getattr(given, "system", None if given.load else given.config.settings.get(SYSTEM)),
        given.load,
        given.plain,
        given_options(Spec, given) | given_options(Sampling, given),
        given.config,
    )


def _ask(given: argparse.Namespace) -> int:
    from .tui.headless.ask import ask

    return ask(
        " ".join(given.text),
        chosen(Spec, given, given.config.settings),
        chosen(Sampling, given, given.config.settings),
        getattr(given, "system", given.config.settings.get(SYSTEM)),
        given.log,
        given.json,
    )


def _verify(given: argparse.Namespace) -> int:
    from .tui.headless.trials import verify_text

    return verify_text(*_trial(given))


def _tune(given: argparse.Namespace) -> int:
    from .tui.headless.trials import tune_text

    return tune_text(*_trial(given))


def _trial(given: argparse.Namespace) -> tuple[str, Spec, Sampling, str | None, bool]:
    text, system = " ".join(given.text), getattr(given, "system", None)
    return text, chosen(Spec, given), chosen(Sampling, given), system, given.json


if __name__ == "__main__":
    sys.exit(main())
