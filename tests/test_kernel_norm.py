from __future__ import annotations

import pytest
import torch

from tokenhud.kernels import norm as kernels
from tokenhud.kernels.reference import norm as reference

CLOSE = {torch.float32: 2e-6, torch.float16: 2e-3, torch.bfloat16: 2e-2}
SHAPES = [(1, 1), (2, 3), (3, 257), (5, 1536), (16, 64)]
EPS = 1e-6


@pytest.mark.parametrize("dtype", list(CLOSE), ids=str)
@pytest.mark.parametrize("added", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_rows_are_added_and_normed(
    shape: tuple[int, int], added: bool, dtype: torch.dtype, device: str
) -> None:
    torch.manual_seed(0)
    x = (3 * torch.randn(shape)).to(device, dtype)
    delta = torch.randn(shape).to(device, dtype) if added else None
    weight = torch.randn(shape[1]).to(device, dtype)
    before = x.clone()
    normed = kernels.add_rms_norm(x, delta, weight, EPS)
    if delta is None:
        assert torch.equal(x, before)
    elif device == "cpu" and dtype == torch.bfloat16:  # which the interpreter cuts off
        torch.testing.assert_close(x, before + delta, rtol=2**-7, atol=0)
    else:
        assert torch.equal(x, before + delta)
    exact = reference.add_rms_norm(x.double(), None, weight.double(), EPS)
    torch.testing.assert_close(normed.double(), exact, rtol=CLOSE[dtype], atol=CLOSE[dtype])
    right = reference.add_rms_norm(before, delta, weight, EPS)
    torch.testing.assert_close(normed, right, rtol=2 * CLOSE[dtype], atol=2 * CLOSE[dtype])


@pytest.mark.parametrize("dtype", list(CLOSE), ids=str)
def test_a_row_is_the_same_to_the_bit_alone_and_in_a_block(dtype: torch.dtype, device: str) -> None:
    torch.manual_seed(1)
    x, delta = torch.randn(2, 5, 300).to(device, dtype)
    weight = torch.randn(300).to(device, dtype)
    alone = [
        kernels.add_rms_norm(x[i : i + 1].clone(), delta[i : i + 1], weight, EPS) for i in range(5)
    ]
    assert torch.equal(kernels.add_rms_norm(x, delta, weight, EPS), torch.cat(alone))


def test_rows_without_size_and_of_great_size(device: str) -> None:
    x = torch.zeros(3, 40, device=device)
    x[1], x[2] = 1e15, 1e-15
    weight = torch.ones(40, device=device)
    normed = kernels.add_rms_norm(x, None, weight, EPS)
    torch.testing.assert_close(normed, reference.add_rms_norm(x, None, weight, EPS))
    assert not normed[0].any()


def test_rows_may_be_a_part_of_wider_ones(device: str) -> None:
    wide = torch.randn(4, 200, device=device)
    x, delta, weight = wide[:, :70], wide[:, 100:170], torch.ones(70, device=device)
    right = reference.add_rms_norm(x.clone(), delta, weight, EPS)
    out = torch.empty(4, 70, device=device)
    assert kernels.add_rms_norm(x, delta, weight, EPS, out=out) is out
    torch.testing.assert_close(out, right)


def test_what_does_not_belong_together_is_refused(device: str) -> None:
    x, weight = torch.ones(2, 8, device=device), torch.ones(8, device=device)
    for rows, delta, factors in (
        (x.T, None, weight[:2]),
        (x, x[:1], weight),
        (x, torch.ones(8, 2, device=device).T, weight),
        (x, None, weight[:7]),
    ):
        with pytest.raises(ValueError, match=r"\.$"):
            kernels.add_rms_norm(rows, delta, factors, EPS)
    with pytest.raises(ValueError, match="contiguous"):
        kernels.add_rms_norm(x, None, weight, EPS, out=x[:1])
    with pytest.raises(ValueError, match="as many gates as ups"):
        kernels.swiglu(x[:, :7])
    with pytest.raises(ValueError, match="contiguous"):
        kernels.swiglu(x, out=x)


@pytest.mark.parametrize("dtype", list(CLOSE), ids=str)
@pytest.mark.parametrize(("n", "width"), [(1, 1), (2, 3), (3, 1031), (16, 24)])
def test_swiglu(n: int, width: int, dtype: torch.dtype, device: str) -> None:
    torch.manual_seed(2)
    gate_up = (4 * torch.randn(n, 2 * width)).to(device, dtype)
    exact = reference.swiglu(gate_up.double())
    found = kernels.swiglu(gate_up)
    torch.testing.assert_close(found.double(), exact, rtol=CLOSE[dtype], atol=CLOSE[dtype])
    assert torch.equal(found[:1], kernels.swiglu(gate_up[:1]))


@pytest.mark.filterwarnings("ignore:overflow encountered in exp")  # as in torch, silently
def test_swiglu_of_far_gates(device: str) -> None:
    gates = torch.tensor([[-3e38, -1e4, -90.0, 0.0, 90.0, 1e4, 3e38]], device=device)
    gate_up = torch.cat([gates, torch.ones_like(gates)], dim=1)
    torch.testing.assert_close(kernels.swiglu(gate_up), reference.swiglu(gate_up))
