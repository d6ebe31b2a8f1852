"""`tokenhud doctor` and `tokenhud serve`."""

from __future__ import annotations

import argparse
from dataclasses import fields
from typing import Any

from .arguments import chosen, options
from .engines.options import Sampling, Spec

PORT = 8000


def add_doctor(commands: Any) -> None:
    doctor = commands.add_parser(
        "doctor", parents=[options()], help="what is right here and what is not; 3 for a fault"
    )
    doctor.add_argument("--json", action="store_true", help="print it as JSON")
    doctor.add_argument("--quick", action="store_true", help="load no model")
    doctor.set_defaults(run=_doctor)


def add_serve(commands: Any) -> None:
    serve = commands.add_parser("serve", parents=[options()], help="the chat in a browser")
    serve.add_argument("--host", default="127.0.0.1", help="where it listens (this machine alone)")
    serve.add_argument("--port", type=port, default=PORT, metavar="N", help=f"({PORT})")
    serve.add_argument(
        "--allow-remote",
        action="store_true",
        help="take other hosts too: who reaches them acts as you, without a password",
    )
    serve.add_argument("--load", metavar="NAME", help="go on with a saved session")
    serve.set_defaults(run=_serve)


def port(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"{text} is no port from 1 to 65535")
    return int(text)


def _doctor(given: argparse.Namespace) -> int:
    from .sessions.config import config_path, read_config
    from .tui.headless.doctor_report import report_doctor

    settings = read_config(config_path()).settings  # what a chat would begin with
    return report_doctor(chosen(Spec, given, settings), given.quick, given.json)


def _serve(given: argparse.Namespace) -> int:
    from .tui.web.serving import serve

    chosen(Spec, given)  # a wrong option is told here, not in the browser
    chosen(Sampling, given)
    names = [*(each.name for kind in (Spec, Sampling) for each in fields(kind)), "system", "load"]
    typed = [(name, getattr(given, name, None)) for name in names]
    words = [f"--{name.replace('_', '-')}={text}" for name, text in typed if text is not None]
    return serve(words, given.host, given.port, given.allow_remote)
