from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tokenhud.engines.rope import Rope, rotate, turns
from tokenhud.kernels.reference.rope import rotate_and_write as reference
from tokenhud.kernels.rope import rotate_and_write

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
SHAPES = [
    (1, 1, 1, 2, 0),
    (1, 12, 2, 128, 40),
    (2, 3, 1, 6, 1),
    (3, 9, 3, 64, 7),
    (16, 4, 2, 80, 9),
]
CONTEXT = 64


def factors(dim: int) -> Tensor:
    """Turns [CONTEXT, dim / 2] that stretch as well, as those of extended contexts do."""
    options = {"factor": 4.0, "attention_factor": 1.3}
    rope = Rope("yarn", theta=1e4, dim=dim, trained=CONTEXT, original=16, options=options)
    return turns(rope, CONTEXT, "cpu")


def check(found: Tensor, right: Tensor, device: str) -> None:
    """To the bit, except that the interpreter cuts bfloat16 off where everything else rounds."""
    if device == "cpu" and right.dtype == torch.bfloat16:
        torch.testing.assert_close(found, right, rtol=2**-7, atol=0)
    else:
        assert torch.equal(found.cpu(), right)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("n", "queries", "keys", "dim", "start"), SHAPES)
def test_heads_turn_as_the_references_do(
    n: int, queries: int, keys: int, dim: int, start: int, dtype: torch.dtype, device: str
) -> None:
    torch.manual_seed(n)
    heads = torch.randn(n, queries + 2 * keys, dim).to(dtype)
    right, found = heads.clone(), heads.to(device)
    turns, at = torch.view_as_real(factors(dim)), torch.tensor([start], dtype=torch.int32)
    filled = torch.full((2, keys, CONTEXT, dim), 9.0, dtype=dtype)
    cache = filled.to(device)
    rotate_and_write(found, turns.to(device), at.to(device), cache)
    reference(right, turns, at, filled)
    check(found, right, device)
    check(cache, filled, device)


def test_heads_turn_as_the_engines_turn_them(device: str) -> None:
    heads = torch.randn(5, 8, 32, generator=torch.Generator().manual_seed(0))
    turned, found = heads.clone(), heads.to(device)
    by, at = factors(32), torch.tensor([3], dtype=torch.int32, device=device)
    rotate(turned[:, :6], by[3:8, None])
    cache = torch.zeros(2, 2, 20, 32, device=device)
    rotate_and_write(found, torch.view_as_real(by).to(device), at, cache)
    ours = torch.cat([found[:, :4], cache[0, :, 3:8].transpose(0, 1)], dim=1).cpu()
    # torch fuses the last few products of an odd number
    torch.testing.assert_close(ours, turned[:, :6], rtol=2e-7, atol=5e-7)


def test_rows_beyond_the_cache_are_not_written(device: str) -> None:
    heads = torch.ones(4, 3, 8, device=device)
    held = torch.zeros(2, 2, 1, 6, 8, device=device)  # the next layer's cache follows
    at = torch.tensor([4], dtype=torch.int32, device=device)
    rotate_and_write(heads, torch.view_as_real(factors(8)).to(device), at, held[0])
    assert held[0, 1, 0, :, 0].tolist() == [0, 0, 0, 0, 1, 1]
    assert not held[1].any()


def test_what_does_not_belong_together_is_refused(device: str) -> None:
    heads, cache = torch.ones(2, 8, 16, device=device), torch.ones(2, 2, 9, 16, device=device)
    by = torch.ones(9, 8, 2, device=device)
    at = torch.zeros(1, dtype=torch.int32, device=device)
    rotate_and_write(heads, by, at, cache)
    for wrong in (
        (heads.transpose(0, 1), by, at, cache),
        (heads[..., :14], by, at, cache),
        (heads, by[:, :4], at, cache),
        (heads, by, at.long(), cache),
        (heads, by, at, cache[:, :, ::2]),
        (heads, by, at, cache.half()),
        (heads[:, :5], by, at, cache),
    ):
        with pytest.raises(ValueError, match=r"\.$"):
            rotate_and_write(*wrong)
