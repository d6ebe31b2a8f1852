from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenhud.kernels.bk_core import Config, bk_core
from tokenhud.kernels.launch import interpreted
from tokenhud.kernels.reference import bk_core as reference

SHIFT = 0.1 + 0.1j
SMALL = Config(chunk=8, warps=1)  # so that a few positions are several chunks


def bands(batch, n, dtype=torch.float32, seed=42):
    generator = torch.Generator().manual_seed(seed)
    sizes = (n, n - 1, n - 1)
    return [torch.randn(batch, size, generator=generator, dtype=dtype) for size in sizes]


def ours(matrix, shift, device, config=SMALL):
    return bk_core(*(each.to(device) for each in matrix), shift, config=config).cpu()


def exact(matrix, shift):
    wide = torch.complex128 if matrix[0].is_complex() else torch.float64
    return reference.serial(*(each.to(wide) for each in matrix), shift)


def close(found, right):
    """To float32, with what cancels on the way."""
    assert found.dtype == torch.complex64
    assert torch.isfinite(torch.view_as_real(found)).all()
    torch.testing.assert_close(found.to(torch.complex128), right, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("method", [reference.serial, reference.scan])
@pytest.mark.parametrize("n", [1, 2, 3, 7, 64, 131])
@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
def test_each_reference_is_the_diagonal_of_the_inverse(method, n, dtype):
    matrix = bands(3, n, dtype)
    close(method(*matrix, SHIFT), reference.dense(*matrix, SHIFT))


@given(st.integers(1, 24), st.integers(0, 99), st.sampled_from([SHIFT, -2j, 3 + 1e-3j]))
@settings(deadline=None, max_examples=40)
def test_the_recurrences_in_float64_are_the_inverse(n, seed, shift):
    matrix = bands(2, n, torch.float64, seed)
    torch.testing.assert_close(
        reference.serial(*matrix, shift), reference.dense(*matrix, shift), rtol=1e-7, atol=1e-7
    )


def test_the_references_stay_close_over_long_rows():
    matrix = bands(2, 4096)
    right = exact(matrix, SHIFT)
    for method in (reference.serial, reference.scan):
        off = torch.view_as_real(method(*matrix, SHIFT) - right)
        assert off.square().mean() < 1e-6


@pytest.mark.parametrize("n", [1, 2, 3, 8, 9, 17])
@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
def test_the_kernel_is_the_diagonal_of_the_inverse(n, dtype, device):
    matrix = bands(3 if n < 4 else 1, n, dtype)
    close(ours(matrix, SHIFT, device), reference.dense(*matrix, SHIFT))


@pytest.mark.parametrize("scale", [1e-6, 1e6, 1e18])
def test_rows_that_hang_together_loosely_or_not_at_all(scale, device):
    diagonal, upper, lower = bands(1, 11)
    matrix = [diagonal * scale, upper, lower * (torch.arange(10) % 3 > 0)]
    right = exact(matrix, 0.1j)
    found = ours(matrix, 0.1j, device).to(torch.complex128)
    torch.testing.assert_close(found, right, rtol=1e-3, atol=0)


def test_a_tiny_shift_and_no_diagonal(device):
    """Quotients on the way are tiny and huge in turns."""
    matrix = [torch.zeros(1, 12), torch.ones(1, 11), torch.ones(1, 11)]
    close(ours(matrix, 1e-12j, device), exact(matrix, 1e-12j))


def test_a_quotient_may_be_infinite(device):
    """[[0, 1], [1, 0]] is its own inverse."""
    matrix = [torch.zeros(1, 2), torch.ones(1, 1), torch.ones(1, 1)]
    assert ours(matrix, 0j, device).tolist() == [[0, 0]]


def test_strides_and_mixed_dtypes_are_taken_as_they_come(device):
    diagonal, upper, lower = bands(2, 9)
    matrix = [diagonal.T.contiguous().T, upper.to(torch.complex64), lower.double()]
    close(ours(matrix, SHIFT, device), exact([each.to(torch.complex128) for each in matrix], SHIFT))


def test_chunks_change_no_more_than_rounding(device):
    matrix = bands(1, 15)
    whole = ours(matrix, SHIFT, device, Config(chunk=16, warps=1))
    close(ours(matrix, SHIFT, device), whole.to(torch.complex128))


def test_bands_that_do_not_fit_are_refused():
    diagonal, upper, lower = bands(2, 5)
    with pytest.raises(ValueError, match="off-diagonals"):
        bk_core(diagonal, upper, lower[:, 1:], SHIFT)
    with pytest.raises(ValueError, match="output"):
        bk_core(diagonal, upper, lower, SHIFT, out=torch.empty(2, 5))


@pytest.mark.gpu
@pytest.mark.skipif(interpreted() or not torch.cuda.is_available(), reason="no GPU to compile for")
@pytest.mark.parametrize(("batch", "n"), [(16, 4096), (3, 4099), (1, 70_001)])
def test_long_rows_stay_close_and_nothing_vanishes(batch, n):
    matrix = bands(batch, n)
    found = bk_core(*(each.cuda() for each in matrix), SHIFT).cpu()
    off = torch.view_as_real(found - exact(matrix, SHIFT))
    assert torch.isfinite(off).all()
    assert (found != 0).all()
    assert off.square().mean() < 1e-6
