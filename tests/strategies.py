"""Any record that the program could write, and turns whose events follow one another."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tokenhud.engines.events import (
    Chunk,
    Event,
    Loaded,
    Model,
    Prefill,
    Progress,
    Reason,
    Sample,
    Scored,
    Served,
    Start,
    Step,
    Stop,
)
from tokenhud.engines.options import MAX_SEED, Sampling, Spec
from tokenhud.sessions.records import Clear, Header, Record, Setting, Trial, Turn, Undo

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
counts = st.integers(0, 2**40)
times = st.integers(0, 2**62)
ids = st.lists(st.integers(0, 300_000), max_size=6).map(tuple)
reals = st.floats(0, 1e6, allow_nan=False)
memories = st.dictionaries(texts, counts, max_size=3)
reasons: st.SearchStrategy[Reason] = st.sampled_from(["stop", "length", "cancelled", "error"])
plain_json = st.recursive(
    st.none() | st.booleans() | counts | reals | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)

specs = st.builds(
    Spec,
    model=texts.filter(bool),
    gamma=st.integers(1, 64),
    threads=st.none() | st.integers(1, 64),
    context=st.none() | st.integers(16, 10_000),
)
samplings = st.builds(
    Sampling,
    temperature=st.floats(0, 100),
    top_k=st.integers(0, 1000),
    top_p=st.floats(0, 1),
    min_p=st.floats(0, 1),
    seed=st.none() | st.integers(0, MAX_SEED),
    length=st.integers(1, 10_000),
)
models = st.builds(
    Model,
    name=texts,
    path=texts,
    sha256=texts,
    architecture=texts,
    parameters=counts,
    quantization=texts,
    vocabulary=counts,
    context=counts,
    template_sha256=texts,
    stop_ids=ids,
)


@st.composite
def steps(draw: st.DrawFn, t_ns: st.SearchStrategy[int] = times) -> Step:
    """A pass as the loop makes it: what was kept, then the target's own token, unless the draft
    ended with a stop token."""
    drafted = draw(st.integers(0, 6))
    accepted = draw(st.integers(0, drafted))
    cut = accepted > 0 and draw(st.booleans())
    n = accepted + (not cut)
    tokens = tuple(draw(st.lists(st.integers(0, 300_000), min_size=n, max_size=n)))
    pieces = tuple(draw(st.lists(texts, min_size=n, max_size=n)))
    return Step(tokens, pieces, drafted, accepted, draw(t_ns))


@st.composite
def starts(draw: st.DrawFn, t_ns: st.SearchStrategy[int] = times) -> Start:
    prompt = draw(ids)
    cached = draw(st.integers(0, len(prompt)))
    notes = tuple(draw(st.lists(texts, max_size=2)))
    spec, sampling = draw(specs), draw(samplings)
    return Start(draw(t_ns), prompt, cached, draw(st.booleans()), spec, sampling, notes)


@st.composite
def prefills(draw: st.DrawFn, t_ns: st.SearchStrategy[int] = times) -> Prefill:
    total = draw(counts)
    return Prefill(draw(t_ns), draw(st.integers(0, total)), total)


@st.composite
def scores(draw: st.DrawFn) -> Scored:
    tokens = draw(ids)
    n = len(tokens)
    surprisals = tuple(draw(st.lists(reals, min_size=n, max_size=n)))
    return Scored(draw(times), tokens, surprisals, tokens[::-1])


@st.composite
def served(draw: st.DrawFn, t_ns: st.SearchStrategy[int] = times) -> Served:
    """Any of its figures may be absent."""

    def maybe(value: int) -> int | None:
        return draw(st.sampled_from([value, None]))

    prompt, drafted = draw(counts), draw(counts)
    return Served(
        draw(t_ns),
        prompt_tokens=maybe(prompt),
        cached_tokens=maybe(draw(st.integers(0, prompt))),
        completion_tokens=maybe(draw(counts)),
        server_ttft_ns=maybe(draw(counts)),
        server_decode_ns=maybe(draw(counts)),
        drafted=maybe(drafted),
        accepted=maybe(draw(st.integers(0, drafted))),
        spec_steps=maybe(draw(counts)),
        acceptance_histogram=draw(st.none() | ids),
        rtt_ns=maybe(draw(counts)),
        source=draw(texts),
        notes=tuple(draw(st.lists(texts, max_size=2))),
    )


headers = st.builds(
    Header,
    schema_version=st.just(1),
    created=texts,
    tokenhud_version=texts,
    environment=st.dictionaries(texts, plain_json, max_size=3),
    spec=specs,
    sampling=samplings,
)
turns = st.builds(Turn, turn_id=counts, text=texts, created=texts)
samples = st.builds(
    Sample,
    t_ns=times,
    cpu_percent=st.none() | reals,
    ram_used=st.none() | counts,
    ram_total=st.none() | counts,
    engine_rss=st.none() | counts,
    gpu_percent=st.none() | reals,
    vram_used=st.none() | counts,
    vram_total=st.none() | counts,
    vram_engine=st.none() | counts,
)
stops = st.builds(
    Stop,
    t_ns=times,
    reason=reasons,
    tail=texts,
    what=texts,
    remedy=texts,
    memory=st.none() | memories,
)
records: st.SearchStrategy[Record] = st.one_of(
    headers,
    turns,
    st.builds(Setting, name=texts, value=st.none() | counts | reals | texts),
    st.builds(Undo, turn_id=counts),
    st.just(Clear()),
    st.builds(Trial, purpose=texts, turn_id=st.none() | counts, swaps=st.booleans()),
    st.builds(Progress, t_ns=times, stage=texts, done=counts, total=counts),
    st.builds(Loaded, t_ns=times, model=models, spec=specs, load_ns=counts, memory=memories),
    starts(),
    prefills(),
    steps(),
    scores(),
    st.builds(Chunk, t_ns=times, text=texts, tokens=st.none() | counts),
    served(),
    samples,
    stops,
)


@st.composite
def answers(draw: st.DrawFn) -> list[Event]:
    """The events of one turn, in time; it may have no Stop yet."""
    now = 0

    def later() -> st.SearchStrategy[int]:
        nonlocal now
        now += draw(st.integers(0, 900_000_000))
        return st.just(now)

    events: list[Any] = [draw(starts(later()))]
    if draw(st.booleans()):
        events.append(Prefill(now, 0, events[0].cached))
    events.extend(draw(steps(later())) for _ in range(draw(st.integers(0, 12))))
    if draw(st.booleans()):
        events.append(Stop(draw(later()), draw(reasons)))
    return events
