"""What can run here, what runs now, and what was measured of each."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.binding import Binding
from textual.containers import Container, VerticalScroll
from textual.widget import Widget
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option
from textual.worker import Worker

from ...engines.events import Loaded, Stop
from ...engines.remote_address import address_problem
from ...sessions import figures
from ...sessions.clean import cells, one_line
from ...sessions.gpu import Gpu
from ...sessions.known import Around, around, known, loaded_now
from ...sessions.measured_here import MeasuredHere, closest
from ...sessions.own_figures import figure_line
from ...sessions.records import Setting
from ...sessions.suggestions import Known, suggestions
from ..beside import beside
from ..headless.doctor_words import advised
from ..headless.engine_report import now_lines
from ..opening import Desk
from .engine_choices import (
    Choice,
    Running,
    drafters,
    forms_of_weights,
    models,
    runtimes,
    servers,
    used_servers,
)
from .frame import Frame

LOOK = 1.0  # seconds between two looks at the log
NAME, FIGURE = 24, 12  # columns of a row
RUNS, NEXT, CANNOT = "●", "○", "×"
MARKS = {"runs": RUNS, "next": NEXT, "": " "}
LEGEND = f"{RUNS} runs now  {NEXT} from the next answer  {CANNOT} cannot run here"
PLACEHOLDER = "http://host:port of a server, then Enter"
LOOKING = "Looking …"
NOWHERE = "Not measured here: /compare measures what can run."


class EnginesScreen(Frame):
    TITLE = "Engines"
    CSS_PATH: ClassVar = ["frame.tcss", "engines.tcss"]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-low"), (14, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar = [
        Binding("tab", "app.focus_next", "Next part"),
        Binding("a", "address", "Server address"),
    ]

    def __init__(self, desk: Desk, argument: str = "") -> None:
        super().__init__(desk, argument)
        self._choices: dict[str, Choice] = {}  # by the id of their row
        self._around: Around | None = None
        self._known: Known | None = None
        self._read = 0  # records looked at
        self._stale = True
        self._learning: Worker[None] | None = None

    def body(self) -> list[Widget]:
        details = VerticalScroll(
            Static(id="choice", markup=False),
            Static(id="now", markup=False),
            Static(id="advice", markup=False),
            id="details",
        )
        return [
            Container(OptionList(id="choices", markup=False), details, id="parts"),
            Input(
                placeholder="http://host:port of a server, then Enter", id="address", compact=True
            ),
            Static(LEGEND, id="legend", markup=False),
        ]

    def on_mount(self) -> None:
        self.query_one(OptionList).focus()
        self._show()
        self.set_interval(LOOK, self._look)
        self._look()

    # what is known

    def _look(self) -> None:
        """Whether the log tells of something that changes a row."""
        records = self.desk.chat.log.records
        fresh = records[self._read :]
        self._read += len(fresh)
        self._stale |= any(isinstance(each, Stop | Loaded | Setting) for each in fresh)
        if self._stale and (self._learning is None or self._learning.is_finished):
            self._stale = False
            self._learning = beside(self, self._learn)

    def _learn(self) -> None:
        """In a thread: what lies on the machine is read once, the chat's own figures again."""
        chat = self.desk.chat
        self._around = self._around or around(Gpu())
        self._known = known(chat.spec, list(chat.log.records), self._around)
        self.app.call_from_thread(self._show)

    def _show(self) -> None:
        """Rows anew; the highlight stays on its row, and begins on what runs now."""
        if not self.is_attached:
            return
        rows = self.query_one(OptionList)
        before = rows.highlighted_option.id if rows.highlighted_option else None
        self._choices = {f"{each.section} {each.line or each.name}": each for each in self._all()}
        rows.clear_options()
        rows.add_options(list(self._options()))
        running = next((key for key, each in self._choices.items() if each.mark == "runs"), None)
        wanted = before if before in self._choices else running
        if wanted and self._known:
            rows.highlighted = rows.get_option_index(wanted)
        self._tell_now()

    def _all(self) -> Iterator[Choice]:
        chat, there = self.desk.chat, self._around
        records = list(chat.log.records)
        running = Running(chat.spec, chat.sampling, loaded_now(chat.spec, records))
        yield from runtimes(there.runtimes, running) if there else ()
        yield from forms_of_weights(there.forms, running) if there else ()
        yield from drafters(running)
        yield from models(there.models, running) if there else ()
        urls = [*used_servers(records), *(there.servers if there else ())]
        yield from servers(list(dict.fromkeys(urls)), running)

    def _options(self) -> Iterator[Option]:
        if self._around is None:
            yield Option(LOOKING, disabled=True)
        for section, rows in groupby(self._choices.items(), lambda each: each[1].section):
            yield Option(Text(section.upper(), "bold"), disabled=True)
            yield from (Option(self._row(choice), key) for key, choice in rows)

    # what is shown

    def _row(self, choice: Choice) -> Text:
        mark = MARKS[choice.mark] if choice.line or choice.mark else CANNOT
        found = self._figure(choice)
        speed = f"{figures.rate(found.decode_rate)} tok/s" if found else ""
        width = NAME if choice.asked else NAME + FIGURE  # of a model no speed stands in its row
        name = one_line(choice.name, width - 1)
        told = choice.facts or choice.about if choice.line else " · ".join(choice.why)
        line = f"{mark} {name}{' ' * (width - cells(name))}{speed:{NAME + FIGURE - width}}{told}"
        return Text(line, "" if choice.line else "dim")

    def _figure(self, choice: Choice) -> MeasuredHere | None:
        if self._known is None or choice.asked is None:
            return None
        loaded = self._known.loaded
        spec = loaded.spec if loaded else self._known.spec
        sha256 = loaded.model.sha256 if loaded else ""
        return closest(self._known.here, choice.asked, spec, sha256)

    @on(OptionList.OptionHighlighted)
    def _highlighted(self) -> None:
        choice = self._highlighted_choice()
        self.query_one("#choice", Static).update(Text("\n".join(self._about(choice))))

    def _about(self, choice: Choice | None) -> Iterator[str]:
        if choice is None:
            return
        yield choice.name
        yield choice.about
        if choice.facts:
            yield choice.facts
        yield from choice.why
        if choice.asked:
            yield self._measured(choice)
        if choice.line:
            yield f"Enter: {one_line(choice.line)}"

    def _measured(self, choice: Choice) -> str:
        found = self._figure(choice)
        if found is None or self._known is None:
            return NOWHERE
        return f"Measured: {figure_line(found, self._known.here)}"

    def _tell_now(self) -> None:
        now = ["", "RUNS NOW", *now_lines(self.desk.chat)]
        self.query_one("#now", Static).update(Text("\n".join(now)))
        told = advised(suggestions(self._known)) if self._known else ["", LOOKING]
        self.query_one("#advice", Static).update(Text("\n".join(told)))
        self._highlighted()

    # what the person chooses

    def _highlighted_choice(self) -> Choice | None:
        option = self.query_one(OptionList).highlighted_option
        return self._choices.get(option.id or "") if option else None

    @on(OptionList.OptionSelected)
    def _chosen(self) -> None:
        choice = self._highlighted_choice()
        if choice and choice.line:
            self.dismiss(choice.line)
        elif choice:
            self.notify(" ".join(choice.why), markup=False)

    @on(Input.Submitted)
    def _addressed(self, given: Input.Submitted) -> None:
        url = given.value.strip()
        problem = address_problem(url) if url else "is empty"
        if problem:
            self.notify(f"A server's address {problem}.", severity="warning", markup=False)
        else:
            self.dismiss(f"/engine {url}")

    def action_address(self) -> None:
        self.query_one(Input).focus()
