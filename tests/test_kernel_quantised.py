from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenhud.kernels.quantised import Int4, Int8, dequantise, quantise_int4, quantise_int8
from tokenhud.kernels.reference import linear as reference

pytest.importorskip("triton", reason="the kernels are written in Triton")

from tokenhud.kernels.launch import Config, interpreted
from tokenhud.kernels.linear import linear, norm_gate_up, norm_linear

EPS = 1e-6
DTYPES = [torch.float32, torch.bfloat16, torch.float16]
SPLIT = Config(block_n=16, block_k=32, split_k=4, warps=2, stages=2)
FORMS = {
    "int8": quantise_int8,
    "int4 by 32": lambda weight: quantise_int4(weight, 32),
    "int4 by 64": lambda weight: quantise_int4(weight, 64),
}


def normal(
    *shape: int, dtype: torch.dtype = torch.float32, device: str = "cpu", seed: int = 0
) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator).to(device, dtype)


@given(rows=st.integers(1, 5), inner=st.integers(1, 40), size=st.sampled_from([1e-30, 1e-3, 1e30]))
@settings(max_examples=30, deadline=None)
def test_int8_is_within_half_a_step_of_the_weight(rows, inner, size):
    weight = size * normal(rows, inner, seed=inner)
    quantised = quantise_int8(weight)
    step = weight.abs().amax(1, keepdim=True) / 127
    assert ((dequantise(quantised) - weight).abs() <= 0.501 * step).all()
    assert quantised.shape == weight.shape
    assert quantised.nbytes == rows * inner + 4 * rows


@given(rows=st.integers(1, 5), pairs=st.integers(1, 3), group=st.sampled_from([32, 64, 128]))
@settings(max_examples=30, deadline=None)
def test_int4_is_within_half_a_step_of_the_weight(rows, pairs, group):
    weight = normal(rows, 2 * pairs * group, seed=pairs)
    quantised = quantise_int4(weight, group)
    step = weight.view(rows, -1, group).abs().amax(2, keepdim=True) / 7
    error = (dequantise(quantised) - weight).view(rows, -1, group).abs()
    assert (error <= 0.501 * step).all()
    assert quantised.shape == weight.shape
    assert quantised.group == group
    assert quantised.nbytes == weight.numel() // 2 + 4 * weight.numel() // group


def test_a_byte_of_int4_holds_a_value_of_each_half_of_a_row():
    weight = torch.zeros(1, 64)
    weight[0, 3], weight[0, 35] = 7, -5
    quantised = quantise_int4(weight, 32)
    scales = quantised.scales.tolist()[0]
    assert scales == [1, pytest.approx(5 / 7)]
    assert quantised.values[0, 3] == (8 + 7) | (8 - 7) << 4
    assert (quantised.values[0, 4:] == 8 | 8 << 4).all()


@pytest.mark.parametrize("quantise", FORMS.values(), ids=FORMS)
def test_what_is_quantised_stays_what_it_is_when_quantised_again(quantise):
    weight = normal(3, 128)
    weight[1] = 0
    once = dequantise(quantise(weight))
    torch.testing.assert_close(dequantise(quantise(once)), once)


def test_rows_that_are_no_pairs_of_groups_are_refused():
    with pytest.raises(ValueError, match="groups of 64"):
        quantise_int4(normal(2, 192), 64)
    with pytest.raises(ValueError, match="not of 48"):
        quantise_int4(normal(2, 192), 48)


@pytest.mark.parametrize("quantise", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize(
    ("dtype", "config"), [*((dtype, None) for dtype in DTYPES), (torch.bfloat16, SPLIT)], ids=str
)
def test_products_are_those_of_the_dequantised_weight(device, dtype, quantise, config):
    weight, x = quantise(normal(37, 256, device=device)), normal(3, 256, dtype=dtype, device=device)
    bias = normal(37, dtype=dtype, device=device, seed=3)
    result = linear(x, weight, bias, config=config)
    dense = dequantise(weight).double()
    expected = reference.linear(x.double(), dense, bias.double())
    spread = reference.linear(x.double().abs(), dense.abs())
    unit = torch.finfo(dtype).eps
    assert ((result.double() - expected).abs() <= unit * expected.abs() + 8e-6 * spread).all()


@pytest.mark.parametrize("quantise", FORMS.values(), ids=FORMS)
def test_normed_and_gated_products(device, quantise):
    weight, x = quantise(normal(22, 128, device=device)), normal(2, 128, device=device)
    norm, bias = 1 + normal(128, device=device, seed=2) / 4, normal(22, device=device, seed=3)
    torch.testing.assert_close(
        norm_linear(x, norm, EPS, weight, bias),
        reference.norm_linear(x, norm, EPS, weight, bias),
        rtol=1e-5,
        atol=1e-4,
    )
    torch.testing.assert_close(
        norm_gate_up(x, norm, EPS, weight),
        reference.norm_gate_up(x, norm, EPS, weight),
        rtol=1e-5,
        atol=1e-3,
    )


@pytest.mark.parametrize("quantise", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("config", [None, SPLIT])
def test_a_row_has_the_same_bits_alone_and_in_a_block(device, quantise, config):
    weight = quantise(normal(16, 256, device=device))
    x = normal(16, 256, dtype=torch.bfloat16, device=device)
    norm = 1 + normal(256, device=device, seed=2) / 4
    block = norm_linear(x, norm, EPS, weight, config=config)
    for row in (0, 7, 15):
        alone = norm_linear(x[row : row + 1], norm, EPS, weight, config=config)
        assert torch.equal(alone, block[row : row + 1])


@settings(max_examples=8, deadline=None)
@given(n=st.integers(1, 16), columns=st.integers(1, 40), pairs=st.integers(1, 3), data=st.data())
@pytest.mark.skipif(not interpreted(), reason="the GPU has its own cases")
def test_any_shape_and_tiling(n, columns, pairs, data):
    """int8 in rows of any length; int4 in an odd number of groups a half row too."""
    config = Config(
        block_n=data.draw(st.sampled_from([8, 16, 32])),
        block_k=data.draw(st.sampled_from([16, 64, 128])),
        split_k=data.draw(st.integers(1, 4)),
        warps=data.draw(st.sampled_from([1, 2, 4])),
        stages=2,
    )
    eights = quantise_int8(normal(2 * columns, 37 * pairs, seed=1))
    for weight in (eights, quantise_int4(normal(2 * columns, 64 * pairs, seed=1), 32)):
        x = normal(n, weight.shape[1])
        norm, dense = 1 + normal(weight.shape[1], seed=2) / 4, reference.linear(x, weight)
        torch.testing.assert_close(linear(x, weight, config=config), dense, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(
            norm_gate_up(x, norm, EPS, weight, config=config),
            reference.norm_gate_up(x, norm, EPS, weight),
            rtol=1e-4,
            atol=1e-3,
        )


def test_every_value_of_a_byte_is_read_right(device):
    """int8, and all 256 pairs of four-bit values, each weighed by a row that picks one of them."""
    values, ones = torch.arange(256, dtype=torch.uint8, device=device).view(4, 64), torch.ones(4, 2)
    for weight in (
        Int8(values.view(torch.int8), ones[:, 0].to(device).contiguous()),
        Int4(values, ones.to(device)),
    ):
        for dtype in DTYPES:
            for first in range(0, weight.shape[1], 16):
                x = torch.eye(weight.shape[1], dtype=dtype, device=device)[first : first + 16]
                picked = dequantise(weight)[:, first : first + 16].t().to(dtype)
                assert torch.equal(linear(x, weight), picked)
