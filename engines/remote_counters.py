"""What a server's own counters say of one answer: their difference, where it ran alone."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import httpx

from .remote_kinds import Counters

LARGEST = 8 << 20  # bytes of a page of counters
PATIENCE = 3.0  # seconds for such a page
TRIES, PAUSE = 3, 0.05  # counters may lag behind the stream
BUSY = "Its counters tell nothing of this answer: other requests ran on the server."
_LINE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+([-+0-9.eE]+)(?:\s+-?\d+)?\s*$")
_PLACE = re.compile(r'position="(\d{1,4})"')


@dataclass(frozen=True, slots=True)
class Counted:
    """Figures of one answer, or in `notes` why there are none."""

    figures: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    source: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """The counters at one time, summed over what they are labelled by."""

    totals: dict[str, int]  # by figure
    places: tuple[int, ...]  # accepted drafts by place
    running: int


async def scrape(client: httpx.AsyncClient, root: str, counters: Counters) -> Look | None:
    """None where the server shows none of its counters of tokens."""
    try:
        async with (
            asyncio.timeout(PATIENCE),
            client.stream("GET", root + counters.path) as response,
        ):
            page = bytearray()
            async for part in response.aiter_bytes():
                page += part
                if response.status_code != 200 or len(page) > LARGEST:
                    return None
    except (httpx.RequestError, TimeoutError):
        return None
    return read(page.decode(errors="replace"), counters)


def read(page: str, counters: Counters) -> Look | None:
    """Of Prometheus' text format."""
    figure = {name: each for each, name in counters.names.items()}
    totals: Counter[str] = Counter()
    places: Counter[int] = Counter()
    running = 0
    for line in page.splitlines():
        found = _LINE.match(line)
        if not found:
            continue
        name, labels, value = found[1], found[2] or "", _whole(found[3])
        if name in figure:
            totals[figure[name]] += value
        elif name == counters.running:
            running += value
        elif name == counters.positions and (place := _PLACE.search(labels)):
            places[int(place[1])] += value
    if "generated" not in totals:
        return None
    known = tuple(places[each] for each in range(len(places)))
    return Look(dict(totals), known, running)


async def counted(
    client: httpx.AsyncClient,
    root: str,
    counters: Counters,
    before: Look | None,
    completion: int | None,
) -> Counted:
    """What happened since `before`, in which one answer of `completion` tokens was given."""
    if before is None or completion is None:
        return Counted()
    for _ in range(TRIES):
        after = await scrape(client, root, counters)
        if after is None:
            return Counted()
        generated = after.totals["generated"] - before.totals["generated"]
        if generated == completion and not before.running + after.running:
            return Counted(_difference(before, after), (), counters.path)
        await asyncio.sleep(PAUSE)
    return Counted(notes=(BUSY,))


def _difference(before: Look, after: Look) -> dict[str, Any]:
    found: dict[str, Any] = {
        name: total - before.totals.get(name, 0)
        for name, total in after.totals.items()
        if name != "generated"
    }
    if not any(found.values()) or min(found.values()) < 0:
        return {}  # at rest, since it drafts nothing, or begun anew
    places = [b - a for a, b in zip(_padded(before, after), after.places, strict=True)]
    if histogram := _histogram(found.get("spec_steps", 0), places):
        found["acceptance_histogram"] = histogram
    return found


def _padded(before: Look, after: Look) -> list[int]:
    return [*before.places, *[0] * len(after.places)][: len(after.places)]


def _histogram(steps: int, places: list[int]) -> tuple[int, ...] | None:
    """Steps by how many drafts they accepted; `places` counts those that got at least so far."""
    histogram = tuple(a - b for a, b in pairwise([steps, *places, 0]))
    return histogram if steps and places and min(histogram) >= 0 else None


def _whole(value: str) -> int:
    try:
        number = float(value)
    except ValueError:
        return 0
    return int(number) if abs(number) < 2**62 else 0
