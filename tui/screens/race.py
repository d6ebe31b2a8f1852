"""A race as it is run: two answers side by side, one as it comes and the other as it came the last
time, at its true pace."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widget import Widget
from textual.widgets import Static

from ...sessions import figures
from ...sessions.clean import clean
from ...sessions.race_view import Lane as Seen
from ...sessions.race_view import Outcome, RaceMeter, View
from ..beside import beside
from ..chat.pace import frame_here
from ..commands.race import race_about, ratio_line, winner_lines
from ..commands.trial import same_words
from ..opening import Desk
from .frame import Frame

STACKED = 60  # columns, below which one lane stands under the other
GAUGE = 12  # columns
LOW = 16  # rows, below which a lane has one line of figures
DRAFTED = "underline"  # accepted drafts


class RaceScreen(Frame):
    TITLE = "Race: one message, the same weights, in turns"
    CSS_PATH: ClassVar = ["frame.tcss", "race.tcss"]
    BINDINGS: ClassVar = [
        Binding("escape", "back", "Back"),
        Binding("escape", "leave", "Back, it goes on"),
        Binding("c", "cancel", "Cancel"),
        Binding("enter", "adopt", "Use the faster"),
        Binding("r", "replay", "Once more"),
        Binding("ctrl+c,super+c", "copy_or_cancel", "Copy, cancel or back", show=False),
    ]

    def __init__(self, desk: Desk, argument: str = "") -> None:
        super().__init__(desk, argument)
        self._read, self._rounds, self._names = race_about(argument)
        self._meter = RaceMeter(self._names, self._rounds)
        self._lanes = tuple(Lane(name) for name in self._names)
        self._verdict = Static("", id="verdict", markup=False)
        self._outcome: Outcome | None = None
        self._judged = 0  # rounds that the outcome is of
        self._replay_from: int | None = None
        self._cancelling = False
        self._over = False
        self._keys = (False, False)  # what they depended on when they were last shown

    def body(self) -> list[Widget]:
        return [Horizontal(*self._lanes, id="lanes"), self._verdict]

    def on_mount(self) -> None:
        self.set_interval(frame_here(), self.paint)
        self.paint()

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.width < STACKED, "-stacked")
        self.set_class(event.size.height < LOW, "-low")

    def paint(self) -> None:
        """Shows what the log has, and what time it is in the race."""
        new = self.desk.chat.log.records[self._read :]
        self._read += len(new)
        self._meter.add_all(new)
        view = self._meter.view(self.desk.clock(), self._replay_from)
        if self._cancelling and not view.over:
            self.desk.chat.cancel()  # between two answers nothing hears it
        for lane, seen in zip(self._lanes, view.lanes, strict=True):
            lane.show(seen, self._rounds)
        self._judge(view)
        self._tell(view)
        keys = view.over, self._won
        if keys != self._keys:
            self._over, self._keys = view.over, keys
            self.refresh_bindings()

    def check_action(self, action: str, _parameters: tuple[object, ...]) -> bool:
        """Which keys mean something now, and so stand at the foot."""
        if action == "adopt":
            return self._over and self._won
        if action in ("back", "replay"):
            return self._over
        return action not in ("leave", "cancel") or not self._over

    def action_leave(self) -> None:
        self.dismiss(None)

    def action_cancel(self) -> None:
        self._cancelling = True
        self.paint()

    def action_replay(self) -> None:
        self._replay_from = self.desk.clock()

    def action_adopt(self) -> None:
        lines = winner_lines(self.desk.chat, self._outcome) if self._outcome else []
        if not lines:
            self.notify("Nothing to set: it is in use.", timeout=3)
            return
        for line in lines[:-1]:
            self.desk.run(line)
        self.dismiss(lines[-1])

    def action_copy_or_cancel(self) -> None:
        if self._over or self.get_selected_text():
            self.action_copy_or_back()
        else:
            self.action_cancel()

    @property
    def _won(self) -> bool:
        return self._outcome is not None and self._outcome.winner is not None

    def _judge(self, view: View) -> None:
        """In a thread: the first interval loads a large library."""
        if view.rounds != self._judged:
            self._judged = view.rounds
            beside(self, self._take_outcome, exclusive=True)

    def _take_outcome(self) -> None:
        self._outcome = self._meter.outcome()

    def _tell(self, view: View) -> None:
        lines = [view.problem]
        words = None
        if self._outcome:
            lines.append(ratio_line(self._outcome))
            words = self._outcome.words
        elif view.over:
            words = self._meter.words()
        else:
            lines.append(f"A warm-up of each, then {figures.counted(self._rounds, 'round')}.")
        lines += [same_words(words)] if words else []
        text = clean("\n".join(filter(None, lines)))
        if self._verdict.content != text:
            self._verdict.update(text)


class Lane(Vertical):
    """One method: its name and state, its answer, its figures."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._head = Static(name, classes="head", markup=False)
        self._said = Static("", markup=False)
        self._scroll = VerticalScroll(self._said, classes="said", can_focus=False)
        self._figures = Static("", classes="figures", markup=False)
        self._shown: tuple[object, ...] = ()

    def compose(self) -> ComposeResult:
        yield self._head
        yield self._scroll
        yield self._figures

    def show(self, seen: Seen, rounds: int) -> None:
        self._update(self._head, f"{seen.name} · {state_words(seen)}")
        self._update(self._figures, figure_lines(seen, rounds, self.size.width - 2))
        if self._shown != seen.pieces:
            self._shown = seen.pieces
            self._said.update(said(seen))
            self._scroll.scroll_end(animate=False)

    def _update(self, static: Static, text: str) -> None:
        if static.content != text:
            static.update(text)


def said(seen: Seen) -> Text:
    """The answer as it stands; what was drafted is marked."""
    text = Text()
    for piece, drafted in seen.pieces:
        text.append(clean(piece), DRAFTED if drafted else "")
    return text


def state_words(seen: Seen) -> str:
    which = f"round {seen.number}" if seen.number else "the warm-up"
    match seen.state:
        case "running":
            return f"running {which}"
        case "replay":
            return f"replay of {which}"
        case _:
            return "waits"


def figure_lines(seen: Seen, rounds: int, width: int) -> str:
    """How far the answer is, how fast, and what drafts gave; each line in `width` columns."""
    if seen.state == "waits":
        return ""
    turn = seen.turn
    total = f" of {seen.total}" if seen.total else ""
    progress = f"{seen.tokens}{total} tok · {seen.rounds} of {rounds} rounds"
    room = min(GAUGE, width - len(progress) - 1)
    gauge = figures.gauge(figures.share(seen.tokens, seen.total), room)
    speed = [f"{figures.rate(turn.live)} tok/s now"] if seen.state == "running" else []
    speed += [f"{figures.rate(seen.rates[-1])} tok/s last"] if seen.rates else []
    drafts = [f"{figures.factor(turn.mean_accepted_length)} a pass"]
    drafts += [f"accepted {figures.percent(turn.acceptance)}"] if turn.drafted else []
    drafts.append(f"TTFT {figures.elapsed(turn.ttft_ns)}")
    lines = f"{gauge} {progress}", figures.fit(speed, width), figures.fit(drafts, width)
    return "\n".join(lines)
