"""The choice of each next token on the device: what engines/pick.py defines, without a sync.

Each row of logits is shared among a few hundred programs, and one more settles what they found.
A top-k or top-p set is what lies above an edge, which is found four bits at a time: eight launches
that sum the weight of each hexadecimal digit.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from .philox import uniforms

BITS: tl.constexpr = tl.constexpr(4)
DIGITS: tl.constexpr = tl.constexpr(16)
STEPS: tl.constexpr = tl.constexpr(8)  # digits of a float32
LEAST_NOISE: tl.constexpr = tl.constexpr(2.0**-54)
NEVER: tl.constexpr = tl.constexpr(2**31 - 1)


class Config(NamedTuple):
    block: int  # ids of a program
    warps: int


CONFIG = Config(1024, 8)  # 149 programs for a row of 151936; with 4 warps a tally fills registers


@triton.jit
def _first_seen(history, positions, first, rows, vocab, context, BLOCK: tl.constexpr):
    """Lowers `first` [vocab] to where each id of the text first stands."""
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = (place < context) & (place < tl.load(positions) + rows - 1)
    ids = tl.load(history + place, mask=inside, other=0)
    tl.atomic_min(first + ids, place, mask=inside & (ids >= 0) & (ids < vocab))


@triton.jit
def _penalise(
    logits, stride, vocab, worth, first, positions, penalty: tl.float32, BLOCK: tl.constexpr
):
    row, ids, inside = _place(vocab, BLOCK)
    w = tl.load(logits + row * stride + ids, mask=inside, other=0.0).to(tl.float32)
    seen = tl.load(first + ids, mask=inside, other=NEVER) < tl.load(positions) + row
    less = tl.where(w > 0, tl.div_rn(w, tl.zeros_like(w) + penalty), w * penalty)
    tl.store(worth + row * vocab + ids, tl.where(seen, less, w), mask=inside)


@triton.jit
def _lead(worth, stride, vocab, times, ids_out, BLOCK: tl.constexpr):
    """The best of a block. Its time is minus its worth, so that the first to arrive leads."""
    row, ids, inside = _place(vocab, BLOCK)
    w = _load(worth + row * stride + ids, inside)
    w = tl.where(w == w, w, float("inf"))  # a NaN too is found
    _report(-w.to(tl.float64), times, ids_out, BLOCK)


@triton.jit(do_not_specialize=["step"])
def _tally(
    worth,
    stride,
    vocab,
    times,
    tallies,
    states,
    step,
    limit: tl.float64,
    BY_MASS: tl.constexpr,
    CHUNKS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Sums in a block the weight of each next digit after the digits found so far."""
    row, ids, inside = _place(vocab, BLOCK)
    w = _load(worth + row * stride + ids, inside)
    top = _top(times, row, CHUNKS)
    found = tl.full([], 0, tl.int64)
    if step > 0:
        found, above, need, _ = _descend(tallies, states, row, step, limit, BY_MASS, CHUNKS)
        if tl.program_id(0) == 0:
            state = states + (step * tl.num_programs(1) + row) * 3
            tl.store(state, found.to(tl.float64))
            tl.store(state + 1, above)
            tl.store(state + 2, need)
    key = _key(w) >> (BITS * (STEPS - 1 - step))
    inside &= (key >> BITS) == found
    weight = tl.where(inside, _weight(w, top, BY_MASS), 0.0)
    digits = tl.arange(0, DIGITS)
    by_digit = tl.where((key & (DIGITS - 1))[None, :] == digits[:, None], weight[None, :], 0.0)
    sums = _tallies(tallies, row, step) + tl.program_id(0) * DIGITS
    tl.store(sums + digits, tl.sum(by_digit, 1))


@triton.jit
def _drop(
    worth,
    stride,
    vocab,
    times,
    tallies,
    states,
    kept,
    limit: tl.float64,
    BY_MASS: tl.constexpr,
    CHUNKS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Copies to `kept` what lies above the edge, of those on it the lowest ids that are needed,
    and minus infinity for the rest."""
    row, ids, inside = _place(vocab, BLOCK)
    w = _load(worth + row * stride + ids, inside)
    edge, above, need, ties = _descend(tallies, states, row, STEPS, limit, BY_MASS, CHUNKS)
    key = _key(w)
    weight = tl.max(tl.where(key == edge, _weight(w, _top(times, row, CHUNKS), BY_MASS), 0.0))
    weight = tl.where(weight > 0, weight, 1.0)
    before = tl.where(tl.arange(0, CHUNKS) < tl.program_id(0), ties, 0.0)
    rank = tl.floor(tl.sum(before) / weight + 0.5) + tl.cumsum((key == edge).to(tl.int32))
    wanted = tl.maximum(tl.ceil((need - above) / weight), 1.0)
    stays = (key > edge) | ((key == edge) & (rank <= wanted))
    tl.store(kept + row * vocab + ids, tl.where(stays, w, -float("inf")), mask=inside)


@triton.jit(do_not_specialize=["seed"])
def _race(
    worth,
    stride,
    vocab,
    lead,
    times,
    ids_out,
    positions,
    seed: tl.int64,
    temperature: tl.float64,
    log_min_p: tl.float64,
    CHUNKS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """The first of a block to arrive, by the log of its time."""
    row, ids, inside = _place(vocab, BLOCK)
    w = _load(worth + row * stride + ids, inside)
    top = _top(lead, row, CHUNKS)
    drawn = uniforms(seed, tl.load(positions) + row, tl.program_id(0) * BLOCK, BLOCK)
    noise = tl.maximum(-tl.log(1.0 - drawn), LEAST_NOISE)
    time = (top - w.to(tl.float64)) / temperature + tl.log(noise)
    time = tl.where(w >= (top + log_min_p).to(tl.float32), time, float("inf"))
    time = tl.where(tl.abs(top) < float("inf"), time, -float("inf"))  # of an invalid row
    _report(time, times, ids_out, BLOCK)


@triton.jit
def _settle(times, ids, out, chunks, CHUNKS: tl.constexpr):
    """The first of all blocks to arrive; -1 where a time is no number."""
    row, chunk = tl.program_id(0), tl.arange(0, CHUNKS)
    offsets = row * chunks + chunk
    every = tl.load(times + offsets, mask=chunk < chunks, other=float("inf"))
    best, place = tl.min(every, 0, return_indices=True, return_indices_tie_break_left=True)
    won = tl.load(ids + row * chunks + place)
    tl.store(out + row, tl.where(tl.abs(best) < float("inf"), won, -1))


@triton.jit
def _count_accepted(picks, draft, count, drafted, BLOCK: tl.constexpr):
    place = tl.arange(0, BLOCK)
    inside = place < drafted
    same = tl.load(picks + place, mask=inside) == tl.load(draft + place, mask=inside)
    tl.store(count, tl.min(tl.where(inside & same, BLOCK, place)))


@triton.jit
def _place(vocab, BLOCK: tl.constexpr):
    """Row, ids of this program, and which of them there are."""
    ids = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    return tl.program_id(1).to(tl.int64), ids, ids < vocab


@triton.jit
def _load(pointers, inside):
    w = tl.load(pointers, mask=inside, other=-float("inf")).to(tl.float32)
    return tl.where(w == 0, 0.0, w)  # -0 is 0


@triton.jit
def _report(time, times, ids, BLOCK: tl.constexpr):
    best, place = tl.min(time, 0, return_indices=True, return_indices_tie_break_left=True)
    cell = tl.program_id(1) * tl.num_programs(0) + tl.program_id(0)
    tl.store(times + cell, best)
    tl.store(ids + cell, tl.program_id(0) * BLOCK + place)


@triton.jit
def _top(times, row, CHUNKS: tl.constexpr):
    chunk, chunks = tl.arange(0, CHUNKS), tl.num_programs(0)
    every = tl.load(times + row * chunks + chunk, mask=chunk < chunks, other=float("inf"))
    return -tl.min(every)


@triton.jit
def _key(w):
    """Integers in the order of the floats, from 0 to 2**32."""
    bits = w.to(tl.int32, bitcast=True)
    return (bits ^ ((bits >> 31) & 0x7FFFFFFF)).to(tl.int64) + 0x80000000


@triton.jit
def _weight(w, top, BY_MASS: tl.constexpr):
    return tl.exp(w.to(tl.float64) - top) if BY_MASS else tl.full(w.shape, 1.0, tl.float64)


@triton.jit
def _tallies(tallies, row, step):
    """Where the sums of a row and step begin; they are [chunks, DIGITS]."""
    return tallies + (step * tl.num_programs(1) + row) * tl.num_programs(0) * DIGITS


@triton.jit
def _descend(tallies, states, row, step, limit, BY_MASS: tl.constexpr, CHUNKS: tl.constexpr):
    """What the sums of the step before say: the digits found of the edge, the weight of all above
    them, the weight that is needed, and how much of the last digit each chunk has [CHUNKS]."""
    chunk, digits = tl.arange(0, CHUNKS)[:, None], tl.arange(0, DIGITS)[None, :]
    places = _tallies(tallies, row, step - 1) + chunk * DIGITS + digits
    by_chunk = tl.load(places, mask=chunk < tl.num_programs(0), other=0.0)
    sums = tl.sum(by_chunk, 0)
    total = tl.sum(sums)
    need = limit * (total if BY_MASS else 1.0)
    found, above = tl.full([], 0, tl.int64), tl.full([], 0.0, tl.float64)
    if step > 1:
        state = states + ((step - 1) * tl.num_programs(1) + row) * 3
        found = tl.load(state).to(tl.int64)
        above = tl.load(state + 1)
        need = tl.load(state + 2)
    digit = tl.arange(0, DIGITS)
    crossed = (above + tl.cumsum(sums, 0, reverse=True) >= need) & (sums > 0)
    last = tl.max(tl.where(crossed, digit, 0))
    above += tl.sum(tl.where(digit > last, sums, 0.0))
    return found * DIGITS + last, above, need, tl.sum(tl.where(digits == last, by_chunk, 0.0), 1)


def pick(
    logits: Tensor,
    *,
    temperature: float,
    top_k: int = 0,
    top_p: float = 1.0,
    min_p: float = 0.0,
    repetition_penalty: float = 1.0,
    seed: int = 0,
    positions: Tensor,
    history: Tensor | None = None,
    out: Tensor | None = None,
    config: Config = CONFIG,
) -> Tensor:
    """The id chosen by each row of `logits` [n, vocab], as int64 [n], or in `out` [n]; -1 where a
    row holds NaN or infinity. Two launches where greedy and three else; nine more each for top_k
    and top_p, and three for the penalty.

    `positions` (int32 [1]) is how many ids stand before row 0; before row i stand i more.
    `history` (int32, 1-D) begins with all of them, and is read for the penalty alone.
    """
    _check(logits, positions, history, out, repetition_penalty)
    n, vocab = logits.shape
    out = torch.empty(n, dtype=torch.int64, device=logits.device) if out is None else out
    rows = _Rows.of(logits, config)
    if repetition_penalty != 1 and history is not None:
        rows = _penalised(rows, positions, history, repetition_penalty)
    ids = torch.empty(rows.lead.shape, dtype=torch.int32, device=logits.device)
    rows.launch(_lead, rows.lead, ids)
    times = rows.lead
    if temperature:
        if 0 < top_k < vocab:
            rows = _filtered(rows, float(top_k), by_mass=False)
        if top_p < 1:
            rows = _filtered(rows, top_p, by_mass=True)
        times, log_min_p = torch.empty_like(rows.lead), math.log(min_p) if min_p else -math.inf
        race = (rows.lead, times, ids, positions, seed, temperature, log_min_p)
        rows.launch(_race, *race, CHUNKS=rows.padded)
    chunks = times.shape[1]
    _settle[(n,)](times, ids, out, chunks, CHUNKS=rows.padded, num_warps=config.warps)
    return out


def accepted(picks: Tensor, draft: Tensor, out: Tensor | None = None) -> Tensor:
    """How many ids of `draft` [n - 1] the leading `picks` [n] equal, as int32 [1].

    `out` may be the last place of the tensor that holds the picks, so that one copy takes both.
    """
    drafted = len(draft)
    if len(picks) != drafted + 1:
        raise ValueError(f"{len(picks)} picks do not check {drafted} drafted ids.")
    out = torch.empty(1, dtype=torch.int32, device=picks.device) if out is None else out
    block = triton.next_power_of_2(max(1, drafted))
    _count_accepted[(1,)](picks, draft, out, drafted, BLOCK=block, num_warps=1)
    return out


class _Rows(NamedTuple):
    """Logits on their way through the filters, and the times of their best [n, chunks]."""

    worth: Tensor
    lead: Tensor
    config: Config

    @classmethod
    def of(cls, logits: Tensor, config: Config) -> _Rows:
        n, vocab = logits.shape
        size = (n, triton.cdiv(vocab, config.block))
        return cls(logits, torch.empty(size, dtype=torch.float64, device=logits.device), config)

    @property
    def padded(self) -> int:
        return int(triton.next_power_of_2(self.lead.shape[1]))

    def launch(self, kernel: Any, *arguments: Any, **constants: Any) -> None:
        """One program for each block of each row."""
        n, chunks = self.lead.shape
        kernel[(chunks, n)](
            self.worth,
            self.worth.stride(0),
            self.worth.shape[1],
            *arguments,
            **constants,
            BLOCK=self.config.block,
            num_warps=self.config.warps,
        )

    def like(self) -> Tensor:
        return torch.empty(self.worth.shape, dtype=torch.float32, device=self.worth.device)


def _penalised(rows: _Rows, positions: Tensor, history: Tensor, penalty: float) -> _Rows:
    n, vocab = rows.worth.shape
    first = torch.full((vocab,), NEVER.value, dtype=torch.int32, device=history.device)
    block = rows.config.block
    grid = (triton.cdiv(len(history), block),)
    _first_seen[grid](history, positions, first, n, vocab, len(history), BLOCK=block)
    worth = rows.like()
    rows.launch(_penalise, worth, first, positions, penalty)
    return rows._replace(worth=worth)


def _filtered(rows: _Rows, limit: float, *, by_mass: bool) -> _Rows:
    """Minus infinity for all but the highest that together reach `limit`: a share of the mass, or
    a count."""
    n, chunks = rows.lead.shape
    device = rows.lead.device
    tallies = torch.empty(STEPS.value, n, chunks, DIGITS.value, dtype=torch.float64, device=device)
    states = torch.empty(STEPS.value, n, 3, dtype=torch.float64, device=device)
    constants = {"BY_MASS": by_mass, "CHUNKS": rows.padded}
    for step in range(STEPS.value):
        rows.launch(_tally, rows.lead, tallies, states, step, limit, **constants)
    kept = rows.like()
    rows.launch(_drop, rows.lead, tallies, states, kept, limit, **constants)
    return rows._replace(worth=kept)


def _check(
    logits: Tensor, positions: Tensor, history: Tensor | None, out: Tensor | None, penalty: float
) -> None:
    if logits.dim() != 2 or not logits.is_floating_point() or logits.stride(1) != 1:
        raise ValueError("The logits must be floating [n, vocab], the ids of a row side by side.")
    if positions.shape != (1,) or positions.dtype != torch.int32:
        raise ValueError("The position is one int32 on the device.")
    if penalty != 1 and (history is None or history.dim() != 1 or not history.is_contiguous()):
        raise ValueError("A repetition penalty needs the ids of the text, side by side.")
    if out is not None and (out.shape != logits.shape[:1] or not out.is_contiguous()):
        raise ValueError("The output must be contiguous [n].")
