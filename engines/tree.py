"""Several continuations of one text in one cache: which token stands in which slot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .events import EngineError


class Node(NamedTuple):
    """A token to be evaluated, and the slots from the first of its branch to its own."""

    token: int
    path: tuple[int, ...]


class Tree:
    """Branches after `prefix`, which fills the slots before them. Branches that begin alike share
    slots, and a slot that no branch needs any more serves another node."""

    def __init__(self, prefix: Sequence[int], layers: int, context: int) -> None:
        self.prefix = list(prefix)
        self.layers = layers  # how many hold it
        self._root = len(prefix) - 1
        self._context = context
        self._slots: dict[tuple[int, int], int] = {}  # (slot of the parent, token): its slot

    def grow(self, tails: Sequence[Sequence[int]]) -> tuple[list[Node], list[int]]:
        """Becomes the branches `tails`. Returns what must be evaluated for them, which is all that
        is new and the last token of each, and where among that each tail ends."""
        paths = [self.path(tail) for tail in tails]
        self._slots = {
            (parent, token): slot
            for tail, path in zip(tails, paths, strict=True)
            for parent, token, slot in zip([self._root, *path], tail, path, strict=False)
        }
        free = self._free()
        nodes = {
            node.path[-1]: node
            for tail, path in zip(tails, paths, strict=True)
            for node in self._extend(tail, path, free)
        }
        places = {slot: place for place, slot in enumerate(nodes)}
        return list(nodes.values()), [places[path[-1]] for path in paths]

    def path(self, tail: Sequence[int]) -> list[int]:
        """The slots of as much of `tail` as is there."""
        path: list[int] = []
        for token in tail:
            slot = self._slots.get((path[-1] if path else self._root, token))
            if slot is None:
                break
            path.append(slot)
        return path

    def _free(self) -> Iterator[int]:
        used = set(self._slots.values())
        yield from (slot for slot in range(self._root + 1, self._context) if slot not in used)
        raise EngineError(
            f"The beams need more than the {self._context} positions of the context.",
            "Use fewer beams, a smaller /length or a larger /context.",
        )

    def _extend(self, tail: Sequence[int], path: list[int], free: Iterator[int]) -> Iterator[Node]:
        """Completes `path`; yields the nodes that this adds, and its end in any case."""
        for token in tail[len(path) :]:
            edge = (path[-1] if path else self._root, token)
            if edge not in self._slots:
                self._slots[edge] = next(free)
            path.append(self._slots[edge])
            yield Node(token, tuple(path))
        yield Node(tail[-1], tuple(path))
