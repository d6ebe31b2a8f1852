"""How text becomes lines: Markdown that grows, strange Markdown, and figures."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from tokenhud.sessions import figures
from tokenhud.tui.chat.blocks import CODE, WINDOW, Blocks
from tokenhud.tui.chat.paper import Paper
from tokenhud.tui.chat.transcript import Answer

PAPER = Paper(
    {
        "code_block": Style(bgcolor="#202020"),
        "link": Style(underline=True),
        "link_url": Style(dim=True),
    },
    "github-dark",
)


def lines(answer: Answer, width: int = 60) -> list[str]:
    return [strip.text.rstrip() for strip in answer.strips(PAPER, width)]


def rendered(text: str, width: int = 60, step: int | None = None) -> list[str]:
    answer = Answer()
    for start in range(0, len(text), step or len(text) or 1):
        answer.append(text[start : start + (step or len(text))])
        answer.strips(PAPER, width)
    answer.finish()
    return lines(answer, width)


MARKS = st.sampled_from(
    [
        *("\n", "\n\n", "- ", "1. ", "> ", "# ", "```\n", "    ", "*", "**", "`"),
        *(
            "|",
            "|--|\n",
            "[",
            "](http://x)",
            "[b]",
            "[/b]",
            "<b>",
            "&amp;",
            "\t",
            "---\n",
            "~~",
            "!",
            "\\",
            "[a]: b\n",
        ),
    ]
)
TEXT = st.lists(MARKS | st.from_regex(r"w[0-9]{1,3} ", fullmatch=True), max_size=60).map("".join)


@given(TEXT, st.integers(1, 40))
def test_no_word_is_lost_however_the_text_is_cut(text: str, step: int) -> None:
    def words(shown: str) -> list[str]:
        return [word for word in shown.replace("-", " ").split() if word.startswith("w")]

    whole = "".join(rendered(text, 400, step))
    for word in words(text):
        assert "".join(c for c in word if c.isalnum()) in whole


@given(st.text(max_size=3 * WINDOW), st.integers(1, 2000))
def test_blocks_hold_the_text_that_came(text: str, step: int) -> None:
    blocks = Blocks()
    for start in range(0, len(text), step):
        blocks.append(text[start : start + step])
    blocks.finish()
    fenced = "```" in text or "~~~" in text
    assert fenced or "".join(block.source for block in blocks.closed) == text
    for block in blocks.closed:
        assert fenced or text[block.start :].startswith(block.source)


@given(st.text(max_size=400), st.integers(4, 80))
def test_no_line_is_wider_than_asked(text: str, width: int) -> None:
    assert all(cell_len(line) <= max(width, 8) for line in rendered(text, width))


def test_markdown_shows_as_expected() -> None:
    text = "# Title\n\nA *b* **c** `list[int]` [link](https://x.y)\n\n1. one\n2. two\n\n> said\n"
    assert rendered(text) == rendered(text, step=1)
    assert rendered(text) == [
        "   Title",
        "",
        "   A b c list[int] link (https://x.y)",
        "",
        "    1 one",
        "    2 two",
        "",
        "   ▌ said",
    ]


def test_links_that_run_code_stay_plain_text() -> None:
    assert "[a](javascript:x)" in rendered("see [a](javascript:x)")[0]
    assert not any(each.style and each.style.link for each in _segments("[a](http://x)"))


@pytest.mark.parametrize(
    "address",
    ["https://x.y/a_b*c?d=%20#e", "http://127.0.0.1:8000/v1", "https://x.y/%E4%BD%A0", "ftp://x.y"],
)
def test_a_bare_address_is_shown_as_a_link_and_as_it_is(address: str) -> None:
    text = f"see ({address}), [there](http://z)."
    assert rendered(text)[0].strip() == f"see ({address}), there (http://z)."
    links = [s.text for s in _segments(text) if s.style and s.style.underline]
    assert links == [address, "there"]


@pytest.mark.parametrize("text", ["javascript://x.y", "file:///etc/hosts", "a://b", "`http://x`"])
def test_other_addresses_are_no_links(text: str) -> None:
    assert not any(segment.style and segment.style.underline for segment in _segments(text))


def test_html_and_entities_are_shown_as_they_are() -> None:
    assert rendered("<script>x</script> &lt; &#27;[2J ![i](http://x)")[0].startswith(
        "   <script>x</script> &lt; &#27;[2J !i"
    )


def test_a_long_fence_keeps_every_line() -> None:
    code = "".join(f"x{n} = {n}\n" for n in range(5_000))
    shown = rendered(f"```python\n{code}```\n\nafter", step=997)
    assert [line.strip() for line in shown if line.strip()] == [*code.splitlines(), "after"]


@pytest.mark.parametrize("step", [400, 10**9])
@pytest.mark.parametrize(
    "text",
    [
        "```\n" + "x = 1\n" * 5_000,
        ">" * 10_000,
        "> " * 10_000,
        "\n".join("  " * n + "- x" for n in range(500)),
        "- " * 3_000,
        "|" + "a|" * 2_000 + "\n|" + "-|" * 2_000 + "\n" + ("|" + "b|" * 2_000 + "\n") * 3,
        "x" * 200_000,
        "<div>" * 5_000,
        "[a](javascript:x)" * 2_000,
        "[" * 50_000,
        "*a **b " * 5_000,
        "`" * 10_000 + "`a" * 5_000,
    ],
    ids=lambda text: repr(text[:8]),
)
def test_strange_markdown_stays_readable_and_bounded(text: str, step: int) -> None:
    began = time.process_time()
    shown = "".join(rendered(text, 80, step)).replace(" ", "")
    assert time.process_time() - began < 10  # a hang, not a speed: it takes tenths
    marks = ">-`*_|[]()\n "
    wanted = [c for c in text if c not in marks]
    assert len([c for c in shown if c not in marks + "▌•━─"]) >= len(wanted)


def test_the_cost_of_a_frame_does_not_grow_with_the_answer() -> None:
    blocks = Blocks()
    for n in range(400):
        blocks.append(f"Paragraph {n} with some words in it.\n\n- item\n- item\n\n")
        assert len(blocks.open.source) <= max(WINDOW, CODE)
    assert len(blocks.closed) >= 400


def test_control_characters_are_marked() -> None:
    shown = "\n".join(rendered("a\x1b]52;c;x\x07b \x9b2J `\x1b[31m`\n\n```\n\x1b[?1049l\n```"))
    assert not any((ord(c) < 32 and c != "\n") or 127 <= ord(c) < 160 for c in shown)


@pytest.mark.parametrize(
    ("shown", "wanted"),
    [
        (figures.rate(None), "–"),
        (figures.rate(41.234), "41.2"),
        (figures.rate(999.96), "1,000"),
        (figures.elapsed(212_000_000), "212 ms"),
        (figures.elapsed(0), "0 ms"),
        (figures.duration(1.42), "1.4 s"),
        (figures.duration(125), "2 min 05 s"),
        (figures.percent(0.714), "71 %"),
        (figures.percent(None), "–"),
        (figures.size(612 << 20), "612 MiB"),
        (figures.size(int(3.1 * 2**30)), "3.1 GiB"),
        (figures.size(0), "0 B"),
        (figures.of("3.1 GiB", "7.8 GiB"), "3.1 / 7.8 GiB"),
        (figures.of("812 MiB", "7.8 GiB"), "812 MiB / 7.8 GiB"),
        (figures.of("–", "–"), "–"),
        (figures.of("–", "2,048"), "– / 2,048"),
        (figures.gauge(0.5, 4), "██░░"),
        (figures.gauge(0.0001, 4), "█░░░"),
        (figures.gauge(0.9999, 4), "███░"),
        (figures.gauge(None, 3), "···"),
        (figures.gauge(0.5, 0), ""),
        (figures.sparkline([0, 5, 10], 5), "  ▁▅█"),
        (figures.sparkline([], 3), "   "),
        (figures.sparkline([0, 0], 2), "▁▁"),
        (figures.fit(["ab", "cd", "ef"], 7), "ab · cd"),
        (figures.fit(["abcdef"], 3), "abc"),
        (figures.fit([], 3), ""),
    ],
)
def test_figures(shown: str, wanted: str) -> None:
    assert shown == wanted


@given(st.none() | st.floats(0, 1), st.integers(-1, 40))
def test_a_gauge_fills_its_width(fraction: float | None, width: int) -> None:
    assert len(figures.gauge(fraction, width)) == max(width, 0)


def _segments(text: str) -> list[Segment]:
    return [segment for strip in _strips(text) for segment in strip]


def _strips(text: str) -> list[Strip]:
    answer = Answer()
    answer.append(text)
    return answer.strips(PAPER, 60)
