from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from tokenhud.engines.drafters import Plain
from tokenhud.engines.loop import prefill
from tokenhud.engines.options import Sampling

from .tiny import Oracle, TinyTarget, emitted, run

samplings = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.7, 1.3]),
    top_k=st.sampled_from([0, 3]),
    top_p=st.sampled_from([1.0, 0.8]),
    min_p=st.sampled_from([0.0, 0.1]),
    seed=st.integers(0, 2**63 - 1),
)
prompts = st.lists(st.integers(0, 10), min_size=1, max_size=8)


class Random(Plain):
    """Guesses that have nothing to do with the target, more than were asked for."""

    def __init__(self, guesses: list[int]) -> None:
        self.guesses = guesses

    def propose(self, tokens: Sequence[int], k: int) -> list[int]:
        return [self.guesses[(len(tokens) + i) % len(self.guesses)] for i in range(k + 3)]


@given(
    prompts,
    samplings,
    st.integers(1, 9),
    st.integers(1, 24),
    st.frozensets(st.integers(0, 10), max_size=3),
    st.frozensets(st.integers(0, 23)),
    st.lists(st.integers(0, 10), min_size=1, max_size=5),
)
@settings(max_examples=150, deadline=None)
def test_no_drafter_changes_the_text(prompt, sampling, gamma, room, stop, lies, guesses):
    target = TinyTarget()
    plain = emitted(run(target, prompt, sampling, stop=stop, room=room))
    unstopped = emitted(run(target, prompt, sampling, room=room))
    for drafter in (
        Oracle(unstopped, len(prompt)),
        Oracle(unstopped, len(prompt), lies),
        Random(guesses),
    ):
        blocks = run(target, prompt, sampling, drafter, gamma, stop, room)
        assert emitted(blocks) == plain
        for block in blocks:
            assert block.accepted <= block.drafted <= gamma
            rejected = block.drafted - block.accepted if block.accepted < len(block.tokens) else 0
            assert len(block.rejected) == rejected
            ended = block.tokens[-1] in stop
            assert len(block.tokens) == block.accepted + 1 or ended


@given(prompts, samplings, st.integers(1, 30), st.frozensets(st.integers(0, 10), max_size=2))
@settings(deadline=None)
def test_the_answer_ends_at_the_first_stop_or_at_its_length(prompt, sampling, room, stop):
    answer = emitted(run(TinyTarget(), prompt, sampling, stop=stop, room=room))
    assert 1 <= len(answer) <= room
    assert not stop & set(answer[:-1])
    assert answer[-1] in stop or len(answer) == room


def test_a_drafter_that_is_always_right_is_accepted_whole():
    target, prompt, greedy = TinyTarget(), [1, 2], Sampling()
    answer = emitted(run(target, prompt, greedy, room=500))
    target.passes = 0
    blocks = run(target, prompt, greedy, Oracle(answer, 2), gamma=4, room=500)
    assert sum(b.accepted for b in blocks) == sum(b.drafted for b in blocks) == 400
    assert target.passes == len(blocks) == 100


def test_a_drafted_stop_token_counts_as_accepted_and_ends_the_answer():
    target, prompt, greedy = TinyTarget(), [1, 2], Sampling()
    answer = emitted(run(target, prompt, greedy, room=6))
    place = next(i for i in range(1, 6) if answer[i] not in answer[:i])
    stop = frozenset({answer[place]})
    (block,) = run(target, prompt, greedy, Oracle(answer, 2), gamma=8, stop=stop, room=20)
    assert block.tokens == tuple(answer[: place + 1])
    assert block.accepted == place + 1
    assert block.drafted == 6
    assert block.rejected == ()  # nothing was compared behind the stop


@given(prompts, st.integers(1, 5))
def test_prefill_leaves_the_last_chunk_to_the_first_pass(prompt, chunk):
    done = list(prefill(TinyTarget(), prompt, chunk))
    assert done == sorted(set(done))
    assert 0 < len(prompt) - max(done, default=0) <= chunk
