"""The slash commands about what is kept of all benchmarks: /results, /report and /kpi."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ...engines.events import EngineError
from ...sessions import figures
from ...sessions.chat import Chat
from ...sessions.clean import one_line
from ...sessions.places import deleted_folder, results_folder
from ...sessions.typed_names import quoted
from ...sessions.writing import write_new_text
from . import grammar
from .grammar import Command, Reply, Told, Value
from .trial import told

LISTED = 8


def results_command(_: Chat, values: tuple[Value, ...]) -> Reply:
    verb, rest = str(values[0]) if values else "list", str(values[1]) if len(values) > 1 else ""
    if not rest and verb != "list":
        return Reply(f"It is /results {verb} NAME.", ok=False)
    try:
        reply = _VERBS[verb](rest)
    except EngineError as error:
        return Reply(str(error), ok=False)
    return reply if values else replace(reply, action="show:results:")


def _list(which: str) -> Reply:
    if which not in ("", "deleted"):
        return Reply("It is /results list [deleted].", ok=False)
    folder = deleted_folder(results_folder()) if which else results_folder()

    def job() -> Told:
        from ...sessions.bench.saved_results import kept  # here: the chat starts without it
        from ..headless.results_report import listing

        found = kept(folder)
        yield listing(found[:LISTED]) or NONE_KEPT
        if len(found) > LISTED:
            yield f"and {len(found) - LISTED:,} older ones"

    return Reply("", job=lambda: told(job()))


def _show(name: str) -> Reply:
    path = _found(name)

    def job() -> Told:
        from ..headless.experiment_words import WIDTH
        from ..screens.result_view import view

        yield view(path).full(WIDTH)

    return Reply("", job=lambda: told(job()))


def _delete(name: str) -> Reply:
    from ...sessions.bench import shelf

    path = shelf.delete(name, results_folder())
    back = f"/results restore {quoted(path.name)}"
    return Reply(one_line(f"{name} is deleted. {back} takes it back.", 1000))


def _restore(name: str) -> Reply:
    from ...sessions.bench import shelf

    path = shelf.restore(name, results_folder())
    return Reply(f"{one_line(path.name)} is back.")


def _found(name: str) -> Path:
    from ...sessions.bench.shelf import find_result

    return find_result(name, results_folder())


def report_command(_: Chat, __: tuple[Value, ...]) -> Reply:
    return Reply("", job=lambda: told(_report()))


def _report() -> Told:
    from ...sessions.bench.saved_results import kept, report  # here: the chat starts without it
    from ..headless.results_report import listing

    found = kept(results_folder())
    if not found:
        raise EngineError("No result is kept yet.", "/bench makes one.")
    yield listing(found[:LISTED])
    path = write_new_text(results_folder(), "report.md", report(found))
    yield f"{figures.counted(len(found), 'result')} in {one_line(str(path))}"


def kpi_command(_: Chat, values: tuple[Value, ...]) -> Reply:
    names = str(values[0]).split() if values else []
    return Reply("", job=lambda: told(_kpi(names)))


def _kpi(names: list[str]) -> Told:
    """In a process of its own: the screen's must not load torch, or hold a GPU."""
    from ...sessions.bench.saved_results import kept
    from ...sessions.bench.written import RESULT

    found = [each.path for each in kept(results_folder()) if (each.path / RESULT).is_file()]
    folder = ["--results", str(found[0])] if found else []
    command = [sys.executable, "-P", "-m", "tokenhud", "kpi", *folder, "--", *names]
    run = subprocess.run(
        command, capture_output=True, check=False, text=True, stdin=subprocess.DEVNULL
    )
    yield run.stdout.rstrip() or run.stderr.rstrip()


NONE_KEPT = "No result is kept yet. /bench makes one."
_VERBS: dict[str, Callable[[str], Reply]] = {
    "list": _list,
    "show": _show,
    "delete": _delete,
    "restore": _restore,
}
RESULTS: tuple[Command, ...] = (
    Command(
        "results",
        "what benchmarks have kept: list, show NAME, delete NAME, restore NAME",
        results_command,
        (
            grammar.word("VERB", tuple(_VERBS), optional=True),
            grammar.text("NAME", "of its folder", optional=True),
        ),
        "/results",
    ),
    Command("report", "all results that are kept, in one file", report_command, idle=True),
    Command(
        "kpi",
        "whether speed, error and memory reach their targets",
        kpi_command,
        (grammar.text("NAMES", "bk, memory, throughput, or figures; all", optional=True),),
        "/kpi bk",
        idle=True,
    ),
)
