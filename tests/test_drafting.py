"""Drafters as the engine opens, keeps and swaps them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenhud.engines.draft_model import CHUNK, DraftModel
from tokenhud.engines.events import Message, Request, Start, Step, Stop
from tokenhud.engines.local import LocalEngine
from tokenhud.engines.loop import Fixed, decode
from tokenhud.engines.options import DRAFTERS, GAMMA_POLICIES, Sampling, Spec
from tokenhud.engines.parts import Parts

from .tiny_engine import HeldTarget, open_tiny

METHODS = [each for each in DRAFTERS if each != "plain"]


def engine_of(opened: list[Parts] | None = None) -> LocalEngine:
    def opener(spec):
        parts = yield from open_tiny(spec)
        if opened is not None:
            opened.append(parts)
        return parts

    return LocalEngine(opener, clock=count().__next__)


def ask(engine: LocalEngine, said: str = "hello", sampling: Sampling | None = None, **spec):
    options = Spec(**{"model": "tiny", "gamma_policy": "fixed", "draft_model": "twin", **spec})
    request = Request((Message("user", said),), options, sampling or Sampling(length=30))
    return list(engine.stream(request))


def tokens(events) -> list[int]:
    return [token for event in events if isinstance(event, Step) for token in event.tokens]


def counts(events) -> tuple[int, int]:
    steps = [event for event in events if isinstance(event, Step)]
    return sum(each.drafted for each in steps), sum(each.accepted for each in steps)


samplings = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.7, 1.3]),
    top_p=st.sampled_from([1.0, 0.8]),
    repetition_penalty=st.sampled_from([1.0, 1.3]),
    seed=st.integers(0, 2**63 - 1),
    length=st.sampled_from([1, 2, 3, 30]),
)
turns = st.lists(
    st.tuples(
        st.text("x", min_size=1, max_size=30),
        st.sampled_from(METHODS),
        st.sampled_from(GAMMA_POLICIES),
        st.sampled_from(["on", "off"]),
    ),
    min_size=1,
    max_size=5,
)


@given(turns, samplings, st.integers(1, 16), st.sampled_from(["twin", "narrow", "slow"]))
@settings(max_examples=60, deadline=None)
def test_swapping_drafters_in_mid_chat_never_changes_the_text(talk, sampling, gamma, draft):
    drafting, plain = engine_of(), engine_of()
    for said, drafter, policy, reset in talk:
        options = {"gamma": gamma, "gamma_policy": policy, "draft_model": draft}
        options |= {"reset_in_between": reset, "drafter": drafter}
        expected = tokens(ask(plain, said, sampling))
        assert tokens(ask(drafting, said, sampling, **options)) == expected


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_draft_model_equal_to_the_target_is_right_for_500_tokens(temperature):
    target, twin = HeldTarget(), HeldTarget()
    twin.context = 1000
    sampling = Sampling(temperature=temperature, seed=5)
    drafter = DraftModel(twin, 11)
    drafter.begin([1, 2, 3], sampling)
    blocks = list(decode(target, drafter, [1, 2, 3], sampling, Fixed(4), (), 500))
    assert [block.accepted for block in blocks[1:]] == [block.drafted for block in blocks[1:]]
    assert {block.drafted for block in blocks[1:-1]} == {4}


def test_a_draft_model_whose_ids_mean_something_else_is_refused():
    stop = ask(engine_of(), drafter="speculative", draft_model="foreign")[-1]
    assert isinstance(stop, Stop)
    assert stop.what == "foreign cannot draft for tiny: token 2 is 'd' to one and 'c' to the other."


def test_a_wider_draft_model_is_cut_to_what_the_target_knows():
    events = ask(engine_of(), model="narrow", drafter="speculative", draft_model="tiny")
    assert tokens(events) == tokens(ask(engine_of(), model="narrow"))
    assert counts(events)[0] > 0


@pytest.mark.parametrize("drafter", METHODS)
def test_a_target_that_cannot_take_back_refuses_drafts_and_decodes_plainly(drafter):
    engine = engine_of()
    stop = ask(engine, model="onward", drafter=drafter)[-1]
    assert (stop.reason, stop.what) == ("error", "It cannot take anything back.")
    assert ask(engine, model="onward")[-1].reason in ("stop", "length")


def test_a_target_without_layers_of_its_own_needs_a_draft_model():
    stop = ask(engine_of(), drafter="speculative", draft_model="self")[-1]
    assert "native" in stop.what


def test_one_draft_model_is_kept_and_closed_with_the_engine():
    opened: list[Parts] = []
    engine = engine_of(opened)
    for drafter, draft in (("speculative", "twin"), ("chain", "twin"), ("speculative", "narrow")):
        ask(engine, drafter=drafter, draft_model=draft)
    target, twin, narrow = (parts.target for parts in opened)
    assert [each.closed for each in (target, twin, narrow)] == [False, True, False]
    assert counts(ask(engine, drafter="chain", draft_model="narrow"))[0] > 0
    engine.close()
    assert target.closed
    assert narrow.closed


def test_what_an_ngram_learned_stays_where_it_is_told_to():
    drafted: dict[str, int] = {}
    for reset in ("on", "off"):
        engine = engine_of()
        options = {"drafter": "ngram", "reset_in_between": reset, "top_k_filler": 1}
        ask(engine, "x", **options)
        ask(engine, "a longer one", drafter="suffix")
        drafted[reset] = counts(ask(engine, "x", **options))[1]
    assert drafted["off"] > drafted["on"]


def test_memory_names_what_drafters_hold():
    engine = engine_of()
    assert set(ask(engine)[-1].memory) == {"weights"}
    assert set(ask(engine, drafter="suffix")[-1].memory) == {"weights", "drafters"}
    found = ask(engine, drafter="speculative")[-1].memory
    assert found["draft_model"] == 8


def test_swaps_do_not_pile_up():
    engine = engine_of()
    sizes = []
    for n in range(2, 16):
        for drafter in METHODS:
            options = {"ngram_n": n, "ngram_storage": "onelevel"}
            held = ask(engine, drafter=drafter, **options)[-1].memory
        sizes.append(held["drafters"])
    assert max(sizes[3:]) < 2 * sizes[2]


def test_the_time_of_drafter_and_target_is_told_apart():
    steps = [each for each in ask(engine_of(), drafter="speculative") if isinstance(each, Step)]
    assert all(step.draft_ns > 0 and step.pass_ns > 0 for step in steps)


def test_margins_come_only_where_asked_for():
    engine = engine_of()
    request = Request(
        (Message("user", "hi"),), Spec(model="tiny"), Sampling(length=5), margins=True
    )
    for step in engine.stream(request):
        if isinstance(step, Step):
            assert len(step.margins) == len(step.tokens)
            assert min(step.margins) >= 0
    assert all(not step.margins for step in ask(engine) if isinstance(step, Step))


def test_a_new_text_is_read_in_parts_while_nothing_is_drafted():
    reads: list[int] = []

    class Watched(HeldTarget):
        def logits(self, tokens, last):
            reads.append(len(tokens) - self.cached(tokens) if self.held else len(tokens))
            return super().logits(tokens, last)

    Watched.context = 1000
    drafter = DraftModel(Watched(), 11)
    prompt = [1] * 300
    drafter.begin(prompt, Sampling())
    assert drafter.propose(prompt, 4) == []
    answer = [*prompt, 2]
    rounds = 0
    while not drafter.propose(answer, 4):
        rounds += 1
    assert rounds == 300 // CHUNK
    assert max(reads) <= CHUNK


def effective(events) -> Spec:
    return next(event.spec for event in events if isinstance(event, Start))


def test_beams_share_the_context():
    events = ask(engine_of(), "x" * 44, Sampling(length=30, num_beams=4))
    assert len(tokens(events)) <= 5
    (start,) = (event for event in events if isinstance(event, Start))
    assert start.notes == ("The context leaves room for 5 tokens of answer.",)


def test_the_settings_told_are_those_of_this_answer_not_of_the_first():
    engine = engine_of()
    for gamma, policy in ((4, "auto"), (6, "fixed"), (2, "heuristic")):
        events = ask(engine, drafter="suffix", gamma=gamma, gamma_policy=policy)
        assert (effective(events).gamma, effective(events).gamma_policy) == (gamma, policy)


def test_a_beam_search_uses_no_drafter():
    used: Callable[..., Spec] = lambda **spec: effective(  # noqa: E731
        ask(engine_of(), sampling=Sampling(length=4, num_beams=2), **spec)
    )
    assert used(drafter="suffix").drafter == "plain"
