"""/race: two methods on one message, in turns, as the log and the screen tell it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from textual.widgets import Static

from tokenhud.engines.events import Prefill, Start, Step, Stop
from tokenhud.engines.local import LocalEngine
from tokenhud.engines.options import Sampling, Spec
from tokenhud.sessions.chat import Chat, header
from tokenhud.sessions.log import Log
from tokenhud.sessions.race_view import RaceMeter
from tokenhud.sessions.records import Trial
from tokenhud.sessions.summary import split_turns
from tokenhud.tui.app import TokenhudApp
from tokenhud.tui.commands import table as commands
from tokenhud.tui.commands.grammar import Call, Live, Reply
from tokenhud.tui.headless.experiment_words import setting_lines

from .fakes import MS, Beat, ScriptedEngine, chat_with, words
from .tiny_engine import open_tiny

SPEC = Spec(model="tiny", draft_model="twin")
NAMES = ("plain", "suffix")
SLOW = words("one two three four five six", ms=40)
FAST = [
    Beat(("one",), ms=40),
    Beat((" two", " three"), 3, 1, 40),
    Beat((" four", " five", " six"), 3, 2, 40),
]
# plain, then suffix in the warm-ups; then plain, suffix, suffix, plain, …
ABBA = [SLOW, SLOW, FAST, SLOW, FAST, FAST, SLOW, SLOW, FAST]


def tiny_chat(spec: Spec = SPEC, **sampling) -> Chat:
    options = Sampling(**{"length": 20, **sampling})
    log = Log.in_memory(header(spec, options))
    return Chat(LocalEngine(open_tiny, clock=count(1, 1000).__next__), log, spec, options)


def typed(chat: Chat, line: str) -> Reply:
    call = commands.parse(line)
    assert isinstance(call, Call), call
    return commands.run(chat, call)


def raced(chat: Chat, line: str) -> str:
    """What is said at the end."""
    reply = typed(chat, line)
    assert reply.job, reply.text
    return [each.text for each in reply.job() if isinstance(each, Live)][-1]


def passes(chat: Chat) -> list[tuple[str, int, bool]]:
    trials = [each for each in chat.log.records if isinstance(each, Trial)]
    return [(each.method, each.run, each.warmup) for each in trials]


def test_both_take_turns_after_a_warm_up_of_each():
    chat = tiny_chat()
    list(chat.ask("hello"))
    raced(chat, "/race plain, suffix runs=3")
    assert passes(chat) == [
        ("plain", 0, True),
        ("suffix", 0, True),
        *[("plain", 1, False), ("suffix", 1, False)],
        *[("suffix", 2, False), ("plain", 2, False)],
        *[("plain", 3, False), ("suffix", 3, False)],
    ]


@pytest.mark.parametrize("temperature", [0.0, 1.3])
def test_the_words_are_the_same_and_the_conversation_is_left_alone(temperature):
    chat = tiny_chat(temperature=temperature)
    list(chat.ask("hello"))
    before = chat.exchanges[-1].answer, chat.spec, chat.sampling
    said = raced(chat, "/race plain speculative runs=2")
    tokens = sum(
        len(e.tokens) for e in split_turns(chat.log.records)[0].events if isinstance(e, Step)
    )
    assert f"identical · {tokens} tokens" in said
    assert (chat.exchanges[-1].answer, chat.spec, chat.sampling) == before
    assert len(split_turns(chat.log.records)) == 1


def test_the_verdict_is_the_ratio_of_decode_rates_round_by_round(tmp_path):
    chat = chat_with(ScriptedEngine(*ABBA), tmp_path)
    list(chat.ask("Count."))
    said = raced(chat, "/race plain, suffix runs=3")
    # six words at 40 ms: 1 of 5 gaps a token in plain, 5 tokens in 2 gaps in suffix
    assert said.startswith("suffix is 2.50 times plain (2.50–2.50, 3 rounds in turns)")
    assert "identical · 6 tokens" in said
    assert "/suffix sets it" in said


def test_the_first_difference_is_told_with_its_lead():
    start = Start(0, (1,), 0, False, Spec(target="native"), Sampling())

    def answer(method: str, run: int, *tokens: int) -> list[object]:
        steps = [
            Step((t,), ("x",), 0, 0, n * MS, margins=(0.004,)) for n, t in enumerate(tokens, 1)
        ]
        return [
            Trial("race", 1, method=method, run=run, warmup=not run),
            start,
            *steps,
            Stop(9 * MS, "stop"),
        ]

    meter = RaceMeter(NAMES, 2)
    meter.add_all(answer("plain", 0, 5, 6, 7) + answer("suffix", 0, 5, 9, 7))
    for run in (1, 2):
        meter.add_all(answer("plain", run, 5, 6, 7) + answer("suffix", run, 5, 9, 7))
    outcome = meter.outcome()
    assert (outcome.words.verdict, outcome.words.position, outcome.words.margin) == (
        "near-tie",
        1,
        0.004,
    )
    assert outcome.ratio.value == pytest.approx(1)
    assert outcome.winner is None


def test_without_a_message_a_built_in_one_is_asked():
    chat = tiny_chat(length=4)
    chat.engine = ScriptedEngine(words("Well then."))
    raced(chat, "/race plain, suffix runs=2")
    assert "calculate_sum" in chat.engine.requests[0].messages[-1].content
    assert not chat.exchanges


def test_alone_it_is_plain_beside_the_method_in_use(tmp_path):
    chat = chat_with(ScriptedEngine(), tmp_path)
    assert (typed(chat, "/race").action or "").endswith("6 plain, suffix")
    typed(chat, "/ngram")
    typed(chat, "/gamma 2")
    assert (typed(chat, "/race").action or "").endswith("6 plain, ngram gamma=2")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("/race plain", "A race is between two methods."),
        ("/race plain, sufix", "Did you mean suffix?"),
        ("/race plain, plain", "is there twice"),
        ("/race plain, int8", "/compare plain, int8"),
        ("/race plain, suffix temperature=1", "same settings of words"),
        ("/race plain, suffix gamma=99", "from 1 to 64"),
        ("/race plain, suffix runs=x", "runs takes a whole number"),
    ],
)
def test_what_cannot_race_is_told_before_anything_runs(tmp_path, line, sentence):
    chat = chat_with(ScriptedEngine(), tmp_path)
    reply = typed(chat, line)
    assert not reply.ok
    assert sentence in reply.text
    assert not chat.engine.requests


def test_a_server_tells_no_tokens_to_race(tmp_path):
    chat = chat_with(ScriptedEngine(), tmp_path, Spec(url="http://127.0.0.1:9"))
    assert "tells no token ids" in typed(chat, "/race plain, suffix").text


def test_cancelled_early_the_rounds_so_far_are_judged(tmp_path):
    chat = chat_with(ScriptedEngine(*ABBA), tmp_path)
    list(chat.ask("Count."))
    job = typed(chat, "/race plain, suffix").job()
    said = []
    for told in job:
        said.append(told)
        if len(passes(chat)) == 7:  # as the fifth pass after the warm-ups goes on
            chat.engine.stream = lambda _request: iter([Stop(1, "cancelled")])
    assert said[-1].text.startswith("Cancelled · suffix is 2.50 times plain (2 rounds in turns)")
    assert not chat.busy


def test_cancelled_at_once_there_is_no_verdict(tmp_path):
    chat = chat_with(ScriptedEngine(), tmp_path)
    chat.engine.stream = lambda _request: iter([Stop(1, "cancelled")])
    assert raced(chat, "/race plain, suffix") == "Cancelled: too few rounds for a verdict."


def test_the_ratio_grows_while_it_runs(tmp_path):
    chat = chat_with(ScriptedEngine(*ABBA), tmp_path)
    list(chat.ask("Count."))
    live = [
        each.text
        for each in typed(chat, "/race plain, suffix runs=3").job()
        if isinstance(each, Live)
    ]
    assert live[0] == "suffix is 2.50 times plain (2 rounds in turns)"


AT_ONCE = [Beat(("one two",), ms=40)]  # in one step, which has no rate


def test_answers_in_one_step_have_no_ratio_but_words(tmp_path):
    chat = chat_with(ScriptedEngine(AT_ONCE), tmp_path)
    list(chat.ask("Count."))
    said = raced(chat, "/race plain, suffix runs=2")
    assert said == (
        "suffix and plain: no ratio, as the answer came in one step · identical · 1 tokens"
    )
    meter = RaceMeter(NAMES, 2)
    meter.add_all(chat.log.records)
    view = meter.view(0)
    assert view.over
    assert [(lane.rounds, lane.rates) for lane in view.lanes] == [(2, ()), (2, ())]


def test_one_round_has_a_ratio_and_no_winner(tmp_path):
    chat = chat_with(ScriptedEngine(*ABBA), tmp_path)
    list(chat.ask("Count."))
    said = raced(chat, "/race plain, suffix runs=1")
    assert said.startswith("suffix is 2.50 times plain")
    assert "1 round in turns" in said
    assert "identical · 6 tokens" in said
    assert "sets it" not in said


# both lanes at one moment


def lanes(meter: RaceMeter, ms: float):
    one, other = meter.view(int(ms * MS)).lanes
    return [(e.state, e.number, "".join(text for text, _ in e.pieces)) for e in (one, other)]


def begin(method: str, run: int, ms: int) -> list[object]:
    start = Start(ms * MS, (1,), 0, False, Spec(target="native"), Sampling())
    return [
        Trial("race", 1, method=method, run=run, warmup=not run),
        start,
        Prefill((ms + 1) * MS, 1, 1),
    ]


def step(ms: int, text: str, drafted: int = 0, accepted: int = 0) -> Step:
    pieces = tuple(text)
    return Step(tuple(map(ord, pieces)), pieces, drafted, accepted, ms * MS)


def test_the_other_lane_replays_its_last_answer_at_its_own_pace():
    meter = RaceMeter(NAMES, 1)
    assert lanes(meter, 0) == [("waits", 0, ""), ("waits", 0, "")]
    meter.add_all([*begin("plain", 0, 100), step(110, "a"), step(120, "b"), step(130, "c")])
    assert lanes(meter, 131) == [("running", 0, "abc"), ("waits", 0, "")]
    meter.add_all([Stop(130 * MS, "stop"), *begin("suffix", 0, 500)])
    assert lanes(meter, 509) == [("replay", 0, ""), ("running", 0, "")]
    meter.add_all([step(510, "a"), step(515, "bc", 4, 2)])
    assert lanes(meter, 521) == [("replay", 0, "ab"), ("running", 0, "abc")]
    meter.add(Stop(515 * MS, "stop"))
    assert lanes(meter, 900) == [("replay", 0, "a"), ("replay", 0, "abc")]  # as it ended
    drafted = meter.view(900 * MS).lanes[1].pieces
    assert [text for text, kept in drafted if kept] == ["b", "c"]


def test_a_race_that_is_over_is_shown_once_more_from_its_start():
    meter = RaceMeter(NAMES, 1)
    for run, at in ((0, 0), (1, 200)):
        meter.add_all([*begin("plain", run, at), step(at + 10, "a"), step(at + 20, "b")])
        meter.add_all([Stop((at + 20) * MS, "stop"), *begin("suffix", run, at + 100)])
        assert not meter.view(0).over
        meter.add_all([step(at + 105, "ab"), Stop((at + 105) * MS, "stop")])
    view = meter.view(305 * MS)
    assert (view.over, view.rounds, view.problem) == (True, 1, "")
    assert lanes(meter, 312) == [("replay", 1, ""), ("replay", 1, "ab")]
    assert lanes(meter, 330) == [("replay", 1, "ab"), ("replay", 1, "ab")]
    assert meter.view(330 * MS, replay_from=325 * MS).lanes[0].pieces == ()


def test_what_ends_it_early_is_told():
    meter = RaceMeter(NAMES, 2)
    meter.add_all(
        [*begin("plain", 0, 0), Stop(5 * MS, "error", what="No room.", remedy="/context 99")]
    )
    view = meter.view(9 * MS)
    assert (view.over, view.problem) == (True, "No room. /context 99")


def test_records_of_other_trials_and_turns_are_none_of_a_race():
    meter = RaceMeter(NAMES, 1)
    other = replace(begin("plain", 0, 0)[0], purpose="tune")
    meter.add_all([other, *begin("plain", 0, 0)[1:], step(5, "a"), Stop(6 * MS, "stop")])
    assert lanes(meter, 9) == [("waits", 0, ""), ("waits", 0, "")]


@pytest.mark.parametrize(
    ("method", "lines"),
    [
        ("plain", []),
        ("suffix", ["/suffix"]),
        ("speculative gamma=6", ["/speculative", "/gamma 6"]),
        (
            "ngram n=4 storage=onelevel".replace("storage", "ngram_storage"),
            ["/ngram", "/ngram_storage onelevel 4"],
        ),
        ("chain gamma=auto draft_model=/m.gguf", ["/chain", "/drafter /m.gguf"]),
        ("int8+suffix", ["/quantize int8", "/suffix"]),
        ("llama", ["/runtime llamacpp"]),
        ("threads=2", ["/threads 2"]),
    ],
)
def test_a_method_is_set_by_lines_that_could_be_typed(tmp_path, method, lines):
    found = setting_lines(method, Spec())
    assert found == lines
    chat = chat_with(ScriptedEngine(), tmp_path)
    assert all(typed(chat, line).ok for line in found)
    assert setting_lines(method, chat.spec) == []


# the screen


def shown(app: TokenhudApp) -> str:
    return "\n".join(str(each.content) for each in app.screen.query(Static))


async def until(pilot, app, text: str) -> str:
    for _ in range(200):
        await pilot.pause(0.02)
        if text in shown(app):
            return shown(app)
    raise AssertionError(f"{text!r} is not in:\n{shown(app)}")


@pytest.fixture
def racing(tmp_path: Path) -> TokenhudApp:
    quick = [[replace(beat, ms=1) for beat in script] for script in ABBA]
    chat = chat_with(ScriptedEngine(*quick, real=True), tmp_path)
    list(chat.ask("Count."))
    return TokenhudApp(chat)


async def send(pilot, app, line: str) -> None:
    await app.workers.wait_for_complete()
    app.screen.prompt.write(line)
    await pilot.press("enter")


async def test_the_faster_method_is_adopted_from_the_screen(tmp_path):
    chat = chat_with(ScriptedEngine(*ABBA), tmp_path)
    list(chat.ask("Count."))
    app = TokenhudApp(chat, clock=lambda: 10**15)
    async with app.run_test(size=(80, 24)) as pilot:
        await send(pilot, app, "/race plain, suffix runs=3")
        text = await until(pilot, app, "suffix is 2.50 times plain (2.50–2.50, 3 rounds in turns)")
        assert "suffix · replay of round 3" in text
        assert text.count("one two three four five six") == 2
        await pilot.press("r")
        await pilot.pause()
        assert "one two" not in shown(app)  # both run again, from where they began
        await pilot.press("enter")
        await pilot.pause()
    assert chat.spec.drafter == "suffix"


async def test_c_cancels_and_escape_goes_back(racing):
    racing.chat.engine._scripts = [[Beat(("one",)), Beat((" two",), wait=True)]]
    async with racing.run_test(size=(80, 24)) as pilot:
        await send(pilot, racing, "/race plain, suffix")
        assert "plain · running the warm-up" in await until(pilot, racing, "running")
        await pilot.press("c")
        await until(pilot, racing, "Cancelled.")
        assert "enter" not in racing.screen.active_bindings, "there is no faster one to use"
        await pilot.press("escape")
        await racing.workers.wait_for_complete()
        await pilot.pause()
        assert racing.screen is racing.screen_stack[0]
    assert not racing.chat.busy


async def test_cancelled_after_the_warm_ups_the_words_are_judged(racing):
    racing.chat.engine._scripts[3:] = [[Beat(("one",), wait=True)]]
    async with racing.run_test(size=(80, 24)) as pilot:
        await send(pilot, racing, "/race plain, suffix")
        await until(pilot, racing, "plain · running round 1")
        await pilot.press("c")
        assert "identical · 6 tokens" in await until(pilot, racing, "Cancelled.")


async def test_leaving_the_screen_leaves_the_race_running(racing):
    async with racing.run_test(size=(80, 24)) as pilot:
        await send(pilot, racing, "/race plain, suffix runs=2")
        await until(pilot, racing, "suffix · ")
        await pilot.press("escape")
        await racing.workers.wait_for_complete()
    assert len(passes(racing.chat)) == 6


@pytest.mark.parametrize("size", [(120, 40), (50, 20), (20, 5), (1, 1)])
async def test_any_size_will_do(racing, size):
    async with racing.run_test(size=(80, 24)) as pilot:
        await send(pilot, racing, "/race plain, suffix runs=2")
        await until(pilot, racing, "suffix · ")
        await pilot.resize_terminal(*size)
        await racing.workers.wait_for_complete()
        await asyncio.sleep(0.15)
        await pilot.pause()
        stacked = racing.screen.has_class("-stacked")
        assert stacked == (size[0] < 60)
