"""What was drafted and what was not, from the loop to the cells of the screen."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.app import App, ComposeResult
from textual.strip import Strip

from tokenhud.engines.answer import Answering, answer
from tokenhud.engines.detokenise import Detokeniser
from tokenhud.engines.drafters import Plain
from tokenhud.engines.events import Step, Stop
from tokenhud.engines.loop import Fixed
from tokenhud.engines.options import Sampling
from tokenhud.sessions.encoding import from_line, to_line
from tokenhud.tui.chat.paper import Paper
from tokenhud.tui.chat.scribe import Scribe
from tokenhud.tui.chat.steps import HEADER, step_line
from tokenhud.tui.chat.transcript import Answer, Transcript

from .tiny_engine import HeldTarget, Letters

# the engine

STOP = 10
SPELLED = [b"a", b" b", b"c", b"\xe4", b"\xbd", b"\xa0", b"\n", b"d e", b" ", b"f", b"<end>"]


class Spoken(Letters):
    """Tokens of several letters, of blanks, and of parts of a character."""

    def detokeniser(self) -> Detokeniser:
        return Detokeniser(SPELLED.__getitem__, {STOP}, strip=True)


class Guesses(Plain):
    """Drafts that it is told, one after the other."""

    def __init__(self, drafts: Sequence[list[int]]) -> None:
        self.made: list[tuple[int, list[int]]] = []  # how many tokens came before each
        self._drafts = list(drafts)

    def propose(self, tokens: Sequence[int], k: int) -> list[int]:
        draft = self._drafts.pop(0)[:k] if self._drafts else []
        self.made.append((len(tokens), draft))
        return draft


def answered(drafter: Plain, length: int, beams: int = 1) -> tuple[list[Step], str]:
    target = HeldTarget(len(SPELLED))
    sampling = Sampling(length=length, num_beams=beams)
    asked = Answering(target, Spoken(), drafter, Fixed(5), [1, 2], sampling, length, 9, False)
    events = list(answer(asked, count().__next__, lambda: False))
    steps = [event for event in events if isinstance(event, Step)]
    assert isinstance(events[-1], Stop)
    return steps, "".join(p for step in steps for p in step.pieces) + events[-1].tail


def spelled(tokens: Sequence[int]) -> str:
    speller = Spoken().detokeniser()
    return "".join(map(speller.push, tokens))


@given(
    st.lists(st.lists(st.integers(0, STOP), max_size=5), max_size=6),
    st.lists(st.integers(0, 5), max_size=6),
    st.integers(1, 20),
)
@settings(max_examples=100, deadline=None)
def test_what_is_rejected_is_the_draft_that_was_not_kept(wrong, right, length):
    """Drafts begin with tokens that the target will choose, and go on as they like."""
    plain, whole = answered(Plain(), length)
    tokens = [token for step in plain for token in step.tokens]
    truth = [tokens[n : n + good] for n, good in enumerate(right)]
    drafter = Guesses([a + b for a, b in zip(truth, wrong, strict=False)])
    steps, text = answered(drafter, length)
    assert text == whole
    said: list[int] = []
    for step, (_, draft) in zip(steps, drafter.made, strict=False):
        kept = [*said, *step.tokens[: step.accepted]]
        assert list(step.tokens[: step.accepted]) == draft[: step.accepted]
        compared = len(step.tokens) > step.accepted  # not where a stop ended the draft
        rejected = draft[step.accepted :] if compared else []
        assert spelled(kept) + step.rejected == spelled([*kept, *rejected])
        assert from_line(to_line(step, 1)) == step
        said += step.tokens


def test_the_end_of_an_answer_inside_a_draft() -> None:
    plain, whole = answered(Plain(), 60)
    tokens = [token for step in plain for token in step.tokens]
    assert tokens[-1] == STOP
    before = len(tokens) - 2
    guesses: list[list[int]] = [[]] * before + [[*tokens[-2:], 0, STOP, 2]]
    steps, text = answered(Guesses(guesses), 60)
    assert text == whole
    assert (steps[-1].drafted, steps[-1].accepted, steps[-1].rejected) == (5, 2, "")


def test_beams_reject_nothing_that_was_drafted() -> None:
    steps, _ = answered(Plain(), 12, beams=2)
    assert steps
    assert not any(step.rejected or step.drafted for step in steps)


# the text

DRAFTED = Style(overline=True)  # which nothing else is
PAPER = Paper(
    {
        "code_block": Style(bgcolor="#202020"),
        "drafted": DRAFTED,
        "drafted_code": DRAFTED,
        "rejected": Style(strike=True, dim=True),
    },
    "github-dark",
)
UNTOLD = Paper({"code_block": Style(bgcolor="#202020")}, "github-dark")

Parts = list[tuple[str, bool]]  # text, and whether it was drafted


def laid_out(parts: Parts, width: int = 60, paper: Paper = PAPER) -> list[Strip]:
    shown = Answer()
    for n, (text, drafted) in enumerate(parts):
        shown.append(text, drafted)
        if n % 40 == 0:
            shown.strips(paper, width)
    shown.finish()
    return shown.strips(paper, width)


def letters(strips: list[Strip]) -> Parts:
    """Each cell's character that is no blank, and whether it is marked."""
    return [
        (letter, bool(style and style.overline))
        for strip in strips
        for text, style, _ in strip
        for letter in text
        if not letter.isspace()
    ]


def source(parts: Parts) -> Parts:
    return [(letter, drafted) for text, drafted in parts for letter in text if letter.strip()]


WORDS = st.from_regex(r"[a-z你é]{1,9}[,;]?", fullmatch=True)
PLAIN = st.lists(st.tuples(st.lists(WORDS | st.just("\n\n"), max_size=8), st.booleans()))
STRANGE = st.text(st.sampled_from("a b1.\n>#*_`|-[](:)/\\\t~你é")) | st.text()
PIECES = st.lists(st.tuples(STRANGE, st.booleans()), max_size=12)


@given(PLAIN, st.integers(8, 70))
@settings(deadline=None)
def test_origin_is_exact_where_there_is_no_markup(said, width):
    parts = [(" " + " ".join(words), drafted) for words, drafted in said]
    parts = [(text.replace("\n ", "\n"), drafted) for text, drafted in parts]
    parts = [(f"x{text}", drafted) for text, drafted in parts]
    assert letters(laid_out(parts, width)) == source(parts)


@given(PIECES, st.integers(4, 60))
@settings(deadline=None)
def test_origin_changes_no_text_and_no_width(parts, width):
    told, untold = laid_out(parts, width), laid_out(parts, width, UNTOLD)
    assert [strip.text for strip in told] == [strip.text for strip in untold]


@given(st.lists(st.tuples(STRANGE, st.just(False)), max_size=12))
@settings(deadline=None)
def test_an_answer_without_drafts_is_as_it_was(parts):
    assert laid_out(parts) == laid_out(parts, paper=UNTOLD)


@given(st.lists(st.tuples(STRANGE, st.just(True)), max_size=12))
@settings(deadline=None)
def test_only_what_is_the_layout_s_own_is_plain_in_a_text_drafted_whole(parts):
    """Bullets, numbers, borders and what a link leads to."""
    source = "".join(text for text, _ in parts)
    shown = letters(laid_out(parts))
    plain = "".join(letter for letter, drafted in shown if not drafted)
    added = set("•▌━─│-0123456789")
    if "](" not in source:
        assert set(plain) <= added


MARKUP = [
    "# Some {heading} here",
    "one **two {three** fo}ur",
    "a\\*{b} and \\_{c}",
    "say `list[{int}]` now",
    "see [the {docs}](https://the.docs/the) {the} end",
    "at https://x.y/{a_b}?c=d or {so}",
    "3. a {b} c\n4. {d} 4 e\n   - f {g}",
    "> quoted {words and\n> more} of them",
    "| a | {b} |\n|---|---|\n| {one two} | three |\n| four | f{iv}e |",
    "```python\ndef {add}(a):\n    return {a} + 1\n\n{x} = 2\n```",
    "- item\n\n  ```\n  in {an} item\n  ```\n",
    "    indented {code}\n\tand\ta {tab}",
    "wide 你{好世}界 and e\u0301{e\u0301}",
    "~~gone {really}~~ and {so}",
    "hard  \n{break} and\nsoft {break}",
]


@pytest.mark.parametrize("marked", MARKUP)
@pytest.mark.parametrize("step", [1, 7, 1000])
def test_origin_finds_its_way_through_markup(marked: str, step: int) -> None:
    """What stands between braces was drafted."""
    parts: Parts = []
    for n, text in enumerate(marked.replace("}", "{").split("{")):
        parts += [(text[at : at + step], n % 2 == 1) for at in range(0, len(text), step)]
    shown, said = letters(laid_out(parts)), source(parts)
    wanted = [letter for letter, drafted in said if drafted and letter not in "*>"]
    assert [letter for letter, drafted in shown if drafted] == wanted


def test_origin_is_exact_in_a_fence_that_is_cut() -> None:
    code = [(f"value_{n} = {n}\n", n % 3 == 0) for n in range(600)]
    shown = letters(laid_out([("```\n", False), *code, ("```", False)], 80))
    assert shown == source(code)


def test_origin_is_exact_in_a_block_that_is_too_large() -> None:
    parts = [(f"word{n} ", n % 3 == 0) for n in range(2_000)]
    assert letters(laid_out(parts, 80)) == source(parts)


# the rejected draft


def growing(source: str, rejected: str, width: int = 30) -> list[str]:
    shown = Answer()
    shown.append(source)
    shown.rejected = rejected
    return [strip.text.rstrip() for strip in shown.strips(PAPER, width)]


@pytest.mark.parametrize(
    ("source", "rejected", "lines"),
    [
        ("the quick", " lazy\ndog", ["   the quick lazy dog"]),
        ("the qui", "te", ["   the quite"]),
        ("the quick ", "lazy", ["   the quick lazy"]),
        ("the quick brown fox", " jumps over it", ["   the quick brown fox", "   jumps over it"]),
        ("the quick\n", "lazy", ["   the quick", "   lazy"]),
        ("the quick", "\nlazy", ["   the quick", "   lazy"]),
        ("the quick", "", ["   the quick"]),
        ("the quick", " \n", ["   the quick"]),
        ("the quick", " *a* [b]", ["   the quick *a* [b]"]),
        ("```\nx = 1", " + y", ["    x = 1 + y"]),
        ("a", " " + "long " * 20, ["   a", "   long long long long long l…"]),
        ("a", " \x1b[2Jb", ["   a \ufffd[2Jb"]),
        ("", "lost", []),
    ],
)
def test_a_rejected_draft_stands_after_the_text(
    source: str, rejected: str, lines: list[str]
) -> None:
    assert growing(source, rejected) == lines


@given(STRANGE, STRANGE, st.integers(1, 60))
@settings(deadline=None)
def test_a_rejected_draft_adds_one_line_at_most(source, rejected, width):
    without, shown = growing(source, "", width), growing(source, rejected, width)
    assert len(without) <= len(shown) <= len(without) + 1
    assert shown[: len(without) - 1] == without[:-1]


def test_a_rejected_draft_keeps_the_ground_of_code() -> None:
    shown = Answer()
    shown.append("```\nx = 1")
    shown.rejected = " + y"
    (strip,) = shown.strips(PAPER, 30)
    assert strip.cell_length == 30
    (struck,) = [segment for segment in strip if segment.style and segment.style.strike]
    assert struck.style
    assert struck.style.bgcolor


def test_a_rejected_draft_is_gone_with_the_end() -> None:
    shown = Answer()
    shown.append("a b")
    shown.rejected = " c"
    shown.finish()
    assert [strip.text.rstrip() for strip in shown.strips(PAPER, 30)] == ["   a b"]


# the screen


class Page(App[None]):
    def __init__(self) -> None:
        super().__init__()
        self.transcript = Transcript(str)
        self.scribe = Scribe(self.transcript)

    def compose(self) -> ComposeResult:
        yield self.transcript

    def painted(self) -> list[Segment]:
        self.transcript.paint()
        return [segment for strip in self.transcript.lines for segment in strip]


def of(segments: list[Segment], word: str) -> Style:
    (style,) = [segment.style or Style.null() for segment in segments if word in segment.text]
    return style


async def page(app: Page) -> Answer:
    shown = Answer()
    app.transcript.add(shown)
    shown.append("own ")
    shown.append("kept ", drafted=True)
    shown.append("`kode`", drafted=True)
    shown.rejected = "struck"
    return shown


async def test_three_ways_to_show_origin() -> None:
    app = Page()
    async with app.run_test(size=(80, 24)):
        shown = await page(app)
        coloured = app.painted()
        assert of(coloured, "kept").color != of(coloured, "own").color
        assert of(coloured, "kode").bgcolor
        assert of(coloured, "struck").strike
        assert not of(coloured, "kept").underline
        app.transcript.origin = "mark"
        marked = app.painted()
        assert of(marked, "kept").underline
        assert of(marked, "kode").underline
        assert of(marked, "kept").color == of(marked, "own").color
        assert of(marked, "struck").strike
        app.transcript.origin = "off"
        plain = app.painted()
        assert of(plain, "kept") == of(plain, "own")
        assert not any("struck" in segment.text for segment in plain)
        app.transcript.origin = "colour"
        assert app.painted() == coloured
        shown.finish()


async def test_without_colours_origin_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = Page()
    async with app.run_test(size=(80, 24)):
        await page(app)
        assert of(app.painted(), "kept").underline
        app.transcript.origin = "off"
        assert not of(app.painted(), "kept").underline


async def test_copied_text_holds_no_rejected_draft() -> None:
    app = Page()
    async with app.run_test(size=(80, 24)):
        await page(app)
        app.transcript.paint()
        assert any("struck" in strip.text for strip in app.transcript.lines)
        app.transcript.text_select_all()
        assert app.screen.get_selected_text() == "own kept kode"


# /debug

TEXTS = st.text(max_size=60)


@given(
    st.lists(TEXTS, max_size=9),
    TEXTS,
    st.integers(0, 9),
    st.integers(0, 10**13),
    st.integers(56, 120),
)
def test_a_step_is_one_line(pieces, rejected, accepted, took, width):
    step = Step((7,) * len(pieces), tuple(pieces), 9, accepted, 1, rejected=rejected)
    line = step_line(step, took, width)
    assert "\n" not in line
    assert Text(line).cell_len <= width


def test_a_step_tells_its_counts_and_words_under_their_heads() -> None:
    step = Step((1, 2, 3), (" the", " quick", " fox"), 4, 2, 1, rejected=" brown dog")
    line = step_line(step, 41_000_000, 76)
    assert line.endswith("41 ms  {+ the quick+}[- brown dog-] fox")
    for head, figure in (("drafted", "4"), ("accepted", "2"), ("emitted", "3"), ("time", "41 ms")):
        end = HEADER.index(head) + len(head)
        assert line[:end].split()[-1] in figure
        assert line[:end].endswith(figure)
    assert Text(HEADER).cell_len <= 76
