"""The one filter for text that is not ours, before it can reach a terminal."""

from __future__ import annotations

import re
import unicodedata

MARK = "\N{REPLACEMENT CHARACTER}"

# C0 but tab and newline, DEL, C1, surrogates, and the marks that reorder or hide what follows.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff"
    "\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u206f\ufeff\ufff9-\ufffb]"
)


def clean(text: str) -> str:
    """`text` with every control character shown as one mark, but carriage returns dropped (most
    belong to a CRLF). Works character by character, so a sequence split over tokens is caught."""
    return _UNSAFE.sub(MARK, text.replace("\r", ""))


def cells(text: str) -> int:
    """Columns that a terminal gives to `text`."""
    return sum(
        0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1
        for each in text
    )


def one_line(text: str, width: int = 200) -> str:
    """`text` cleaned for a place that has one line: names, errors, titles."""
    flat = " ".join(clean(text).split())
    return flat if len(flat) <= width else flat[: width - 1] + "…"
