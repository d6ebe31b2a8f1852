"""The slash commands about what is kept of all benchmarks: /report and /kpi."""

from __future__ import annotations

import subprocess
import sys

from ..engines.events import EngineError
from ..sessions import figures
from ..sessions.chat import Chat
from ..sessions.clean import one_line
from ..sessions.places import results_folder
from ..sessions.writing import write_new_text
from . import grammar
from .grammar import Command, Reply, Told, Value
from .trial_commands import told

LISTED = 8


def report_command(_: Chat, __: tuple[Value, ...]) -> Reply:
    return Reply("", job=lambda: told(_report()))


def _report() -> Told:
    from ..sessions.bench.saved_results import kept, report  # here: the chat starts without it
    from .results_report import listing

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
    from ..sessions.bench.saved_results import kept
    from ..sessions.bench.written import RESULT

    found = [each.path for each in kept(results_folder()) if (each.path / RESULT).is_file()]
    folder = ["--results", str(found[0])] if found else []
    command = [sys.executable, "-P", "-m", "tokenhud", "kpi", *folder, "--", *names]
    run = subprocess.run(
        command, capture_output=True, check=False, text=True, stdin=subprocess.DEVNULL
    )
    yield run.stdout.rstrip() or run.stderr.rstrip()


RESULTS: tuple[Command, ...] = (
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
