"""Pictures of a screen, one after the other, as one SVG that plays in a browser or a README."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

ROW = 24.4  # height of a line in Textual's pictures
LONGEST = 3.0  # seconds that a picture stands
ENDING = 4.0  # seconds of the last one
_DRAWN = re.compile(r"<(?:rect|text)[^>]*? y=\"([\d.]+)\"[^>]*?(?:/>|>[^<]*</text>)")
_CLASS = re.compile(r"\.terminal-\d+-(r\d+) \{ ([^}]*) \}")


class Frame(NamedTuple):
    at: float  # seconds
    rows: dict[int, str]  # what is drawn in each line, as if it were the first


def frame(at: float, picture: str) -> Frame:
    """Of what `App.export_screenshot` returned at that time."""
    styles = dict(_CLASS.findall(picture))
    matrix = picture.partition('-clip-terminal)">')[2]
    drawn: dict[int, list[str]] = {}
    for element in _DRAWN.finditer(matrix):
        if element[0].endswith(">\n</text>"):
            continue
        line = int(float(element[1]) // ROW)
        drawn.setdefault(line, []).append(_plain(element[0], float(element[1]), line, styles))
    return Frame(at, {line: "".join(parts) for line, parts in drawn.items()})


def film(frames: Sequence[Frame], columns: int, lines: int) -> str:
    """An SVG of all `frames`; each distinct line is in it once."""
    width, height = columns * 12.2 + 8, lines * ROW + 8
    shown = _timed(frames)
    distinct = dict.fromkeys(row for each, _ in shown for row in each.rows.values())
    rows = {row: n for n, row in enumerate(distinct)}
    total = sum(seconds for _, seconds in shown)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}">',
            "<style>text{font:20px 'Fira Code',Menlo,Consolas,'DejaVu Sans Mono',monospace;"
            "white-space:pre}"
            f"#film{{animation:film {total:.2f}s steps(1,end) infinite}}",
            f"@keyframes film{{{_keys(shown, total, width)}}}</style>",
            f'<rect width="{width:.0f}" height="{height:.0f}" rx="8" fill="#121212"/>',
            "<defs>",
            *(f'<g id="l{n}">{row}</g>' for row, n in rows.items()),
            "</defs>",
            f'<svg x="4" y="4" width="{width - 8:.0f}" height="{height - 8:.0f}"><g id="film">',
            *(_placed(each, rows, n * width) for n, (each, _) in enumerate(shown)),
            "</g></svg></svg>",
        ]
    )


def _plain(element: str, y: float, line: int, styles: dict[str, str]) -> str:
    """Without what belongs to its own picture: class, clip path and line."""
    css = re.search(r'class="terminal-\d+-(r\d+)"', element)
    element = re.sub(r' (?:class|clip-path|shape-rendering)="[^"]*"', "", element)
    element = element.replace(f' y="{y:g}"', f' y="{y - line * ROW:.1f}"')
    return element.replace("<text", f'<text style="{styles.get(css[1], "") if css else ""}"', 1)


def _timed(frames: Sequence[Frame]) -> list[tuple[Frame, float]]:
    """Each picture with the seconds that it stands; what did not change is one picture."""
    changes = [next(same) for _, same in groupby(frames, key=lambda each: each.rows)]
    ends = [each.at for each in changes[1:]]
    lasting = [min(end - each.at, LONGEST) for each, end in zip(changes, ends, strict=False)]
    return list(zip(changes, [*lasting, ENDING], strict=True))


def _keys(shown: Sequence[tuple[Frame, float]], total: float, width: float) -> str:
    keys, at = [], 0.0
    for n, (_, seconds) in enumerate(shown):
        keys.append(f"{at / total:.4%}{{transform:translateX({-n * width:.0f}px)}}")
        at += seconds
    return "".join(keys)


def _placed(each: Frame, rows: dict[str, int], x: float) -> str:
    uses = (f'<use href="#l{rows[row]}" y="{line * ROW:.1f}"/>' for line, row in each.rows.items())
    return f'<g transform="translate({x:.0f},0)">{"".join(uses)}</g>'
