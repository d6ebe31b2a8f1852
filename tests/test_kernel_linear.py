from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenhud.kernels.reference import linear as reference

pytest.importorskip("triton", reason="the kernels are written in Triton")

from tokenhud.kernels.launch import Config, Workspace, interpreted
from tokenhud.kernels.linear import linear, norm_gate_up, norm_linear

EPS = 1e-6
DTYPES = [torch.float32, torch.bfloat16, torch.float16]
SHAPES = [(1, 1, 1), (2, 3, 5), (3, 131, 67), (16, 64, 256)]
SPLIT = Config(block_n=32, block_k=32, split_k=3, warps=4, stages=2)


def normal(
    *shape: int, dtype: torch.dtype = torch.float32, device: str = "cpu", seed: int = 0
) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator).to(device, dtype)


def weight(columns, inner, dtype, device):
    return normal(columns, inner, dtype=dtype, device=device, seed=1) / inner**0.5


def norm(inner, dtype, device):
    return 1 + normal(inner, dtype=dtype, device=device, seed=2) / 4


def wide(*tensors):
    return [tensor.double() for tensor in tensors]


def assert_close(result, expected, spread, inner, *, normed):
    """Within the bound of rounding; `spread` is the sum of the magnitudes of the terms.

    The result is rounded once (by up to a unit: the interpreter cuts bfloat16 off). In float32 each
    of a sum's `inner` terms is rounded as a product and in every addition from its own on, by half
    a unit each. A norm rounds a term once more, as itself, and divides by the root of another such
    sum, which halves the error of the sum, but takes a few operations.
    """
    unit, single = torch.finfo(result.dtype).eps, torch.finfo(torch.float32).eps
    terms = (inner / 2 + 2) * single
    if normed:
        terms += unit + (inner / 4 + 4) * single
    assert ((result.double() - expected).abs() <= unit * expected.abs() + terms * spread).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("n", "columns", "inner"), SHAPES)
def test_linear(device, dtype, n, columns, inner):
    x, weights = normal(n, inner, dtype=dtype, device=device), weight(columns, inner, dtype, device)
    bias = normal(columns, dtype=dtype, device=device, seed=3)
    residual = normal(n, columns, dtype=dtype, device=device, seed=4)
    result = linear(x, weights, bias, residual)
    expected = reference.linear(*wide(x, weights, bias, residual))
    spread = reference.linear(*(t.abs() for t in wide(x, weights, bias, residual)))
    assert result.dtype == dtype
    assert_close(result, expected, spread, inner, normed=False)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("n", "columns", "inner"), SHAPES)
def test_norm_linear(device, dtype, n, columns, inner):
    x, weights = normal(n, inner, dtype=dtype, device=device), weight(columns, inner, dtype, device)
    scale, bias = norm(inner, dtype, device), normal(columns, dtype=dtype, device=device, seed=3)
    result = norm_linear(x, scale, EPS, weights, bias)
    expected = reference.norm_linear(*wide(x, scale), EPS, *wide(weights, bias))
    spread = reference.norm_linear(*wide(x.abs(), scale), EPS, *wide(weights.abs(), bias.abs()))
    assert_close(result, expected, spread, inner, normed=True)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("n", "columns", "inner"), SHAPES)
def test_norm_gate_up(device, dtype, n, columns, inner):
    x, scale = normal(n, inner, dtype=dtype, device=device), norm(inner, dtype, device)
    weights = weight(2 * columns, inner, dtype, device)
    result = norm_gate_up(x, scale, EPS, weights)
    expected = reference.norm_gate_up(*wide(x, scale), EPS, *wide(weights))
    gate, up = reference.norm_linear(*wide(x.abs(), scale), EPS, *wide(weights.abs())).chunk(2, -1)
    assert result.shape == (n, columns)
    assert_close(result, expected, 2.2 * gate * up, inner, normed=True)  # silu is never steeper


@settings(max_examples=10, deadline=None)
@given(n=st.integers(1, 16), columns=st.integers(1, 70), inner=st.integers(1, 200), data=st.data())
@pytest.mark.skipif(not interpreted(), reason="the GPU has its own cases")
def test_any_shape_and_tiling(n, columns, inner, data):
    blocks = st.sampled_from([16, 32, 64])
    config = Config(data.draw(blocks), data.draw(blocks), data.draw(st.integers(1, 5)), 4, 2)
    x, weights = normal(n, inner), weight(columns, inner, torch.float32, "cpu")
    scale = norm(inner, torch.float32, "cpu")
    result = norm_linear(x, scale, EPS, weights, config=config)
    torch.testing.assert_close(result, reference.norm_linear(x, scale, EPS, weights))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("config", [None, SPLIT])
def test_a_row_has_the_same_bits_alone_and_in_a_block(device, dtype, config):
    inner, columns = 96, 34
    x, scale = normal(16, inner, dtype=dtype, device=device), norm(inner, dtype, device)
    weights = weight(columns, inner, dtype, device)
    residual = normal(16, columns, dtype=dtype, device=device, seed=4)

    def products(rows):
        yield linear(x[rows], weights, None, residual[rows], config=config)
        yield norm_linear(x[rows], scale, EPS, weights, config=config)
        yield norm_gate_up(x[rows], scale, EPS, weights)

    block = list(products(slice(0, 16)))
    for first, last in [(0, 1), (15, 16), (3, 10)]:
        for part, whole in zip(products(slice(first, last)), block, strict=True):
            assert torch.equal(part, whole[first:last])


def test_programs_that_share_a_tile_leave_the_scratch_ready_for_the_next_launch(device):
    workspace, x = Workspace.on(device), normal(5, 192, device=device)
    scale = norm(192, torch.float32, device)
    for columns in (70, 33, 70):
        weights = weight(columns, 192, torch.float32, device)
        result = norm_linear(x, scale, EPS, weights, workspace=workspace, config=SPLIT)
        torch.testing.assert_close(result, reference.norm_linear(x, scale, EPS, weights))
        assert not workspace.counters.any()


def test_rows_may_be_part_of_wider_ones(device):
    x = normal(4, 100, device=device)[:, 7:57]
    around = normal(6, 60, device=device, seed=4)
    weights = weight(30, 50, torch.float32, device)
    expected = around.clone()
    expected[1:5, 10:40] = reference.linear(x, weights)
    linear(x, weights, out=around[1:5, 10:40])
    torch.testing.assert_close(around, expected)


def test_the_result_may_replace_the_residual(device):
    x, stream = normal(4, 50, device=device), normal(4, 60, device=device, seed=4)[:, 10:40]
    weights = weight(30, 50, torch.float32, device)
    expected = reference.linear(x, weights, None, stream.clone())
    assert linear(x, weights, None, stream, out=stream) is stream
    torch.testing.assert_close(stream, expected)


def test_the_type_of_the_result_is_that_of_out(device):
    x = normal(2, 64, dtype=torch.bfloat16, device=device)
    weights = weight(20, 64, torch.bfloat16, device)
    out = torch.empty(2, 20, device=device)
    linear(x, weights, out=out)
    torch.testing.assert_close(out, F.linear(x.float(), weights.float()), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_extreme_rows_are_normed_as_torch_does(device, dtype):
    """Rows near the end of float16's range, tiny rows, and rows of zeros."""
    x = normal(3, 64, dtype=torch.float32, device=device).clamp(-3, 3)
    x = (x * torch.tensor([[2e4], [1e-6], [0]], device=device)).to(dtype)
    scale, weights = 8 * norm(64, dtype, device), weight(20, 64, dtype, device)
    result = norm_linear(x, scale, EPS, weights)
    expected = reference.norm_linear(*wide(x, scale), EPS, *wide(weights))
    spread = reference.norm_linear(*wide(x.abs(), scale), EPS, *wide(weights.abs()))
    assert_close(result, expected, spread, 64, normed=True)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"x": normal(17, 8)}, "16 rows"),
        ({"x": normal(0, 8)}, "16 rows"),
        ({"x": normal(2, 9)}, "should be"),
        ({"x": normal(8, 2).t()}, "unbroken"),
        ({"weight": normal(8, 6).t()}, "contiguous"),
        ({"bias": normal(5)}, "should be"),
        ({"residual": normal(1, 6)}, "should be"),
        ({"out": normal(2, 5)}, "should be"),
    ],
)
def test_other_shapes_are_refused(change, reason):
    given = {"x": normal(2, 8), "weight": normal(6, 8), **change}
    with pytest.raises(ValueError, match=reason):
        linear(**given)


def test_a_split_larger_than_the_scratch_is_refused():
    with pytest.raises(ValueError, match="scratch"):
        linear(normal(1, 64), normal(40_000, 64), config=Config(16, 32, 2, 4, 2))


@pytest.mark.gpu
@pytest.mark.skipif(interpreted() or not torch.cuda.is_available(), reason="graphs need a GPU")
def test_a_graph_of_dependent_launches_gives_the_bits_of_single_ones():
    width, layers, dtype = 1536, 8, torch.bfloat16
    up = [weight(4 * width, width, dtype, "cuda") for _ in range(layers)]
    down = [weight(width, 2 * width, dtype, "cuda") for _ in range(layers)]
    scale, workspace = norm(width, torch.float32, "cuda"), Workspace.on("cuda")
    stream = normal(3, width, dtype=dtype, device="cuda")
    middle = stream.new_empty(3, 2 * width)

    def run(wait):
        for first, second in zip(up, down, strict=True):
            norm_gate_up(stream, scale, EPS, first, out=middle)
            wait()
            linear(middle, second, None, stream, out=stream, workspace=workspace)
            wait()

    run(torch.cuda.synchronize)  # compiles
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run(lambda: None)
    for seed in range(3):
        start = normal(3, width, dtype=dtype, device="cuda", seed=seed)
        stream.copy_(start)
        run(torch.cuda.synchronize)
        expected = stream.clone()
        stream.copy_(start)
        graph.replay()
        assert torch.equal(stream, expected)
    assert not workspace.counters.any()
