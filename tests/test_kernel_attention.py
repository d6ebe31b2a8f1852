from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from tokenhud.kernels.attention import SPLIT, Split, attention, workspace_size
from tokenhud.kernels.reference.attention import attention as reference

CLOSE = {torch.float32: 2e-6, torch.float16: 2e-3, torch.bfloat16: 2e-2}


class Shape(NamedTuple):
    n: int
    queries: int
    keys: int
    dim: int
    start: int
    slots: int


SHAPES = [
    Shape(1, 1, 1, 16, 0, 1),
    Shape(1, 6, 1, 128, 64, 65),
    Shape(2, 3, 3, 64, 62, 100),  # the rows lie in two splits
    Shape(3, 9, 3, 2, 1, 7),
    Shape(5, 8, 1, 80, 131, 200),
    Shape(7, 4, 2, 10, 0, 64),
    Shape(9, 2, 2, 16, 57, 73),
    Shape(17, 1, 1, 16, 30, 400),
]
CASES = [
    *((shape, torch.float32) for shape in SHAPES),
    *((shape, dtype) for shape in SHAPES[1:4] for dtype in (torch.float16, torch.bfloat16)),
]


class Pass:
    """New rows, and a cache that holds nothing sensible from `start` on."""

    def __init__(self, shape: Shape, dtype: torch.dtype, device: str, spread: float = 1.0) -> None:
        generator = torch.Generator().manual_seed(sum(shape))

        def normal(*size: int) -> Tensor:
            return torch.randn(size, generator=generator)

        self.shape = shape
        self.start = shape.start
        count = shape.queries + 2 * shape.keys
        self.heads = (normal(shape.n, count, shape.dim) * spread).to(device, dtype)
        self.turns = normal(shape.slots, shape.dim // 2, 2).to(device)
        cache = normal(2, shape.keys, shape.slots, shape.dim)
        cache[:, :, shape.start :] = torch.nan
        self.cache = cache.to(device, dtype)

    def ours(
        self, rows: slice = slice(None), reach: int | None = None, split: Split = SPLIT
    ) -> Tensor:
        heads, reach = self.heads[rows], reach or self.shape.slots
        size = workspace_size(len(heads), self.shape.queries, self.shape.dim, reach, split)
        start = torch.tensor([self.start + (rows.start or 0)], dtype=torch.int32)
        return attention(
            heads,
            self.turns,
            self.cache,
            start.to(heads.device),
            reach=reach,
            workspace=torch.full((size,), torch.nan, device=heads.device),
            split=split,
        )

    def exact(self) -> Tensor:
        start = torch.tensor([self.start])
        return reference(self.heads.double(), self.turns, self.cache.double(), start)


@pytest.mark.parametrize(("shape", "dtype"), CASES, ids=str)
def test_rows_find_what_the_reference_finds(shape: Shape, dtype: torch.dtype, device: str) -> None:
    case = Pass(shape, dtype, device)
    exact, before = case.exact(), case.heads.clone()
    found = case.ours()
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), exact, rtol=CLOSE[dtype], atol=CLOSE[dtype])
    assert torch.equal(case.heads, before)


@pytest.mark.parametrize("dtype", list(CLOSE), ids=str)
def test_keys_and_values_are_written_and_nothing_else(dtype: torch.dtype, device: str) -> None:
    case = Pass(Shape(5, 4, 2, 24, 61, 90), dtype, device)
    right = case.cache.clone()
    reference(case.heads, case.turns, right, torch.tensor([61]))
    case.ours()
    torch.testing.assert_close(
        case.cache, right, rtol=CLOSE[dtype], atol=CLOSE[dtype], equal_nan=True
    )
    assert torch.equal(case.cache[1, :, :66], right[1, :, :66])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", [Shape(4, 3, 1, 16, 126, 131), Shape(3, 8, 2, 16, 62, 65)])
def test_a_row_is_the_same_to_the_bit_alone_and_in_a_block(
    shape: Shape, dtype: torch.dtype, device: str
) -> None:
    case = Pass(shape, dtype, device)
    together = case.ours()
    alone = [case.ours(slice(i, i + 1)) for i in range(shape.n)]
    assert torch.equal(together, torch.cat(alone))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_reach_changes_no_bit(dtype: torch.dtype, device: str) -> None:
    case = Pass(Shape(2, 2, 1, 32, 127, 2300), dtype, device)
    least = case.ours(reach=129)
    assert torch.equal(case.ours(reach=200), least)
    assert torch.equal(case.ours(reach=2300), least)


def test_rows_beyond_reach_are_not_written(device: str) -> None:
    case = Pass(Shape(4, 2, 1, 16, 10, 20), torch.float32, device)
    case.ours(reach=12)
    assert not case.cache[:, :, :12].isnan().any()
    assert case.cache[:, :, 12:].isnan().all()


@pytest.mark.parametrize("split", [Split(16, 1), Split(32, 4), Split(128, 8)])
def test_any_split_gives_the_same_up_to_rounding(split: Split, device: str) -> None:
    case = Pass(Shape(2, 3, 1, 32, 300, 400), torch.float32, device)
    torch.testing.assert_close(case.ours(split=split).double(), case.exact(), rtol=3e-6, atol=3e-6)


@pytest.mark.parametrize("dtype", list(CLOSE), ids=str)
def test_scores_far_apart_leave_one_position(dtype: torch.dtype, device: str) -> None:
    case = Pass(Shape(4, 4, 2, 32, 70, 90), dtype, device, spread=100.0)
    exact = case.exact()
    close = 200 * CLOSE[dtype]
    torch.testing.assert_close(case.ours().double(), exact, rtol=CLOSE[dtype], atol=close)


def test_rows_may_be_a_part_of_wider_ones(device: str) -> None:
    case = Pass(Shape(3, 4, 2, 16, 5, 20), torch.float32, device)
    whole = case.ours()
    case.heads = torch.cat([case.heads, case.heads], dim=1)[:, :8]
    assert not case.heads.is_contiguous()
    assert torch.equal(case.ours(), whole)


def test_what_does_not_belong_together_is_refused(device: str) -> None:
    case = Pass(Shape(2, 4, 2, 16, 5, 20), torch.float32, device)
    given: dict[str, Any] = {
        "heads": case.heads,
        "turns": case.turns,
        "cache": case.cache,
        "start": torch.zeros(1, dtype=torch.int32, device=device),
        "reach": 20,
        "workspace": torch.empty(workspace_size(2, 4, 16, 20), device=device),
    }
    attention(**given)
    for name, wrong in {
        "heads": case.heads.transpose(0, 1),
        "turns": case.turns.double(),
        "cache": case.cache.half(),
        "start": torch.zeros(1, device=device),
        "reach": 21,
        "workspace": given["workspace"][1:],
        "out": torch.empty(2, 63, device=device),
    }.items():
        with pytest.raises(ValueError, match=r"\.$"):
            attention(**{**given, name: wrong})
    with pytest.raises(ValueError, match="3 query heads cannot share 2 key heads"):
        attention(**{**given, "heads": case.heads[:, :7]})


@pytest.mark.gpu
def test_a_graph_follows_a_position_that_moves() -> None:
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")
    shape = Shape(4, 12, 2, 128, 500, 1024)
    case = Pass(shape, torch.bfloat16, "cuda")
    fresh, start = case.cache.clone(), torch.tensor([500], dtype=torch.int32, device="cuda")
    right = case.ours()
    case.cache.copy_(fresh)
    row, out = (
        case.heads[:1].clone(),
        torch.empty(1, 12 * 128, dtype=case.heads.dtype, device="cuda"),
    )
    workspace = torch.empty(workspace_size(1, 12, 128, 1024), device="cuda")

    def run() -> None:
        attention(row, case.turns, case.cache, start, reach=1024, workspace=workspace, out=out)

    run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    for i in range(shape.n):
        row.copy_(case.heads[i : i + 1])
        start.fill_(500 + i)
        graph.replay()
        assert torch.equal(out[0], right[i])
