"""How well what is typed fits a name: the one order of completion, palette and help."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

Item = TypeVar("Item")
FEWEST = 2  # letters from which a name may hold them anywhere
SURE = 3  # the worst rank of a name that begins, or a part of which begins, as typed
WITHIN, MENTIONED, SCATTERED = 4, 5, 6
_PARTS = re.compile(r"[^\W_]+")


def matching(
    typed: str,
    items: Iterable[Item],
    names: Callable[[Item], Sequence[str]],
    about: Callable[[Item], str] = lambda _: "",
) -> list[tuple[int, Item]]:
    """Rank and item, the best first and equals in their order; what only `about` mentions comes
    later. Names that just hold the letters one after another are there when nothing fits better."""
    ranked = [(_either(typed, names(each), about(each)), each) for each in items]
    found = [(each, item) for each, item in ranked if each is not None]
    close = [each for each in found if each[0] < SCATTERED]
    return sorted(close or found, key=lambda each: (each[0], _length(each[0], names(each[1]))))


def rank(typed: str, names: Sequence[str]) -> int | None:
    """0 where `typed` is the first of `names`, more for what is less alike, None for none."""
    ranks = [_rank(typed.casefold(), name.casefold(), also=n > 0) for n, name in enumerate(names)]
    return min((each for each in ranks if each is not None), default=None)


def _length(rank: int, names: Sequence[str]) -> int:
    """What is within a short name is more of it than of a long one."""
    return len(names[0]) if rank == WITHIN else 0


def _either(typed: str, names: Sequence[str], about: str) -> int | None:
    by_name = rank(typed, names)
    mentioned = len(typed) >= FEWEST and typed.casefold() in about.casefold()
    return MENTIONED if mentioned and by_name in (None, SCATTERED) else by_name


def _rank(typed: str, name: str, also: bool) -> int | None:
    if typed == name:
        return 0
    if name.startswith(typed):
        return 1 + also
    if any(name.startswith(typed, part.start()) for part in _PARTS.finditer(name)):
        return SURE
    if len(typed) < FEWEST:
        return None
    if typed in name:
        return WITHIN
    return SCATTERED if name[:1] == typed[0] and _in_order(typed, name) else None


def _in_order(typed: str, name: str) -> bool:
    rest = iter(name)
    return all(letter in rest for letter in typed)
