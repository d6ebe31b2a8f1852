from __future__ import annotations

import numpy as np
import pytest
import torch
import triton
import triton.language as tl

from tokenhud.engines import pick as host
from tokenhud.engines.options import MAX_SEED, Sampling
from tokenhud.kernels.launch import interpreted
from tokenhud.kernels.philox import uniforms
from tokenhud.kernels.reference import sampling as reference
from tokenhud.kernels.sampling import Config, accepted, pick

SMALL = Config(block=16, warps=1)  # so that a few ids are several blocks
FILTERS = [
    {},
    {"top_k": 5},
    {"top_p": 0.8},
    {"min_p": 0.2},
    {"top_k": 9, "top_p": 0.9, "min_p": 0.05, "repetition_penalty": 1.3},
]


def rows(n, vocab, seed=0, scale=2.0):
    generator = np.random.default_rng(seed)
    return generator.normal(scale=scale, size=(n, vocab)).astype(np.float32)


def expected(logits, sampling, text, position):
    return [host.pick(row, sampling, text[: position + i]) for i, row in enumerate(logits)]


def given(sampling, text, position, device="cpu"):
    """The arguments of `pick` that say the same."""
    return {
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "min_p": sampling.min_p,
        "repetition_penalty": sampling.repetition_penalty,
        "seed": sampling.seed or 0,
        "positions": torch.tensor([position], dtype=torch.int32, device=device),
        "history": torch.tensor(text, dtype=torch.int32, device=device),
    }


def picks(logits, sampling, text, position, device, **more):
    tensor = torch.from_numpy(logits).to(device)
    return pick(tensor, **given(sampling, text, position, device), **more).tolist()


@triton.jit(do_not_specialize=["seed"])  # type: ignore[untyped-decorator]
def _draw(out, seed: tl.int64, position, count: tl.constexpr):
    start = tl.program_id(0) * count
    drawn = uniforms(seed, tl.load(position), start, count)
    tl.store(out + start + tl.arange(0, count), drawn)


@pytest.mark.parametrize("seed", [0, 1, 7 + 2**40, MAX_SEED])
@pytest.mark.parametrize("position", [0, 12_345_678])
def test_the_draws_are_numpys_bit_for_bit(seed, position, device):
    out = torch.empty(64, dtype=torch.float64, device=device)
    _draw[(2,)](out, seed, torch.tensor([position], dtype=torch.int32, device=device), count=32)
    bits = np.random.Philox(key=seed, counter=position << 64)
    assert out.tolist() == np.random.Generator(bits).random(64).tolist()


@pytest.mark.parametrize("filters", FILTERS, ids=str)
def test_the_device_picks_what_the_host_picks(filters, device):
    logits, text = rows(2, 23), list(range(0, 12, 2))
    logits[:, ::5] = -np.inf
    sampling = Sampling(temperature=1.5, seed=MAX_SEED - 2, **filters)
    assert picks(logits, sampling, text, 4, device, config=SMALL) == expected(
        logits, sampling, text, 4
    )


@pytest.mark.parametrize(
    ("vocab", "temperature"),
    [(1, 0.0), (1, 1.0), (2, 1.0), (3, 5e-324), (17, 0.0), (17, 0.01), (17, 100.0), (61, 1.0)],
)
def test_vocabularies_and_temperatures(vocab, temperature, device):
    logits, sampling = rows(2, vocab, vocab), Sampling(temperature=temperature, seed=3)
    assert picks(logits, sampling, [], 0, device, config=SMALL) == expected(
        logits, sampling, range(9), 0
    )


@pytest.mark.parametrize("filters", [{"top_k": 17}, {"top_p": 0.6}, {"top_p": 0.0}], ids=str)
def test_of_equals_the_lower_ids_stay(filters, device):
    """Of zeros of both signs, some of which would win but for the filter."""
    logits = np.zeros((1, 31), dtype=np.float32)
    logits[0, 1::2], logits[0, 13:15] = -0.0, -1

    def won(seed, **filters):
        return expected(logits, Sampling(temperature=100, seed=seed, **filters), [], 0)

    seed = next(seed for seed in range(99) if won(seed) != won(seed, **filters))
    sampling = Sampling(temperature=100, seed=seed, **filters)
    assert picks(logits, sampling, [], 0, device, config=SMALL) == won(seed, **filters)


def test_greedy_takes_the_first_of_equals(device):
    logits = np.array([[0, 3, 3], [-0.0, 0.0, -1]], dtype=np.float32)
    assert picks(logits, Sampling(), [], 0, device) == [1, 0]


def test_a_row_sees_the_text_before_it_alone(device):
    logits = np.tile(np.array([2.0, 1.9, -1.0, 1.8], dtype=np.float32), (3, 1))
    sampling = Sampling(repetition_penalty=2.0)
    assert picks(logits, sampling, [2, 0, 1, 3, 3], 1, device) == [0, 1, 3]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_narrow_logits_are_picked_from_as_their_float32(dtype, device):
    logits = torch.from_numpy(rows(3, 50)).to(device, dtype)
    sampling = Sampling(temperature=1, seed=5, repetition_penalty=1.7)
    text = list(range(20))
    wide = logits.float().cpu().numpy()
    assert pick(logits, **given(sampling, text, 9, device)).tolist() == expected(
        wide, sampling, text, 9
    )


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_invalid_rows_are_marked_and_others_not(temperature, bad, device):
    logits = rows(3, 40)
    logits[0, 20], logits[2] = bad, -np.inf
    sampling = Sampling(temperature=temperature, seed=1)
    found = picks(logits, sampling, [], 0, device, config=SMALL)
    assert found == [-1, *expected(logits[1:2], sampling, [0], 1), -1]


def test_a_row_alone_or_in_a_block_and_strided_is_picked_alike(device):
    wide = torch.from_numpy(rows(2, 40)).to(device)
    options = given(Sampling(temperature=1, seed=9, min_p=0.01), [], 0, device)
    together = pick(wide[:, :20], **options, config=SMALL).tolist()
    for i, won in enumerate(together):
        options["positions"].fill_(i)
        assert pick(wide[i : i + 1, :20], **options, config=SMALL).tolist() == [won]


def test_what_cannot_be_picked_from_is_refused():
    options = given(Sampling(temperature=1, repetition_penalty=2.0), [1], 0)
    with pytest.raises(ValueError, match="side by side"):
        pick(torch.zeros(6, 2).T, **options)
    with pytest.raises(ValueError, match="int32"):
        pick(torch.zeros(2, 6), **{**options, "positions": torch.zeros(1)})
    with pytest.raises(ValueError, match="ids of the text"):
        pick(torch.zeros(2, 6), **{**options, "history": None})
    with pytest.raises(ValueError, match="output"):
        pick(torch.zeros(2, 6), **options, out=torch.zeros(3))


@pytest.mark.parametrize(
    ("draft", "count"), [([], 0), ([5], 1), ([4], 0), ([5, 6, 7], 3), ([5, 0, 7], 1), ([5] * 4, 1)]
)
def test_the_leading_equal_drafts_are_accepted(draft, count, device):
    """Ids and count in one tensor, for one copy."""
    both = torch.tensor([*range(5, 6 + len(draft)), -7], device=device)
    drafted = torch.tensor(draft, dtype=torch.int64, device=device)
    accepted(both[:-1], drafted, out=both[-1:])
    assert both[-1] == count == reference.accepted(both[:-1], drafted)


def test_as_many_drafts_as_picks_are_refused():
    with pytest.raises(ValueError, match="2 picks do not check 2"):
        accepted(torch.zeros(2), torch.zeros(2))


@pytest.mark.parametrize("filters", FILTERS, ids=str)
@pytest.mark.parametrize("temperature", [0.0, 0.7, 3.0])
def test_the_reference_picks_what_the_host_picks(filters, temperature):
    generator = np.random.default_rng(6)
    for seed in range(20):
        logits = np.round(rows(3, 1 + 13 * seed, seed) * 4) / 4
        text = generator.integers(0, logits.shape[1], 9).tolist()
        sampling = Sampling(temperature=temperature, seed=seed, **filters)
        found = reference.pick(torch.from_numpy(logits), **given(sampling, text, 5))
        assert found.tolist() == expected(logits, sampling, text, 5)


@pytest.mark.gpu
@pytest.mark.skipif(interpreted() or not torch.cuda.is_available(), reason="no GPU to compile for")
@pytest.mark.parametrize("filters", FILTERS, ids=str)
@pytest.mark.parametrize("temperature", [0.0, 0.3, 1.0, 3.0])
def test_a_graph_picks_from_a_large_vocabulary_at_positions_that_move(filters, temperature):
    sampling = Sampling(temperature=temperature, seed=2**50 + 1, **filters)
    text = np.random.default_rng(3).integers(0, 151_936, 40).tolist()
    options = given(sampling, text, 0, "cuda")
    logits, out = torch.empty(5, 151_936, device="cuda"), torch.empty(5, dtype=int, device="cuda")
    logits.copy_(torch.from_numpy(rows(5, 151_936)))
    pick(logits, **options, out=out)  # compiles
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        pick(logits, **options, out=out)
    for position in (0, 7, 30):
        values = rows(5, 151_936, position)
        logits.copy_(torch.from_numpy(values))
        options["positions"].fill_(position)
        graph.replay()
        assert out.tolist() == expected(values, sampling, text, position)
