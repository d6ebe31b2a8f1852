"""`tokenhud bench drafters`: every drafter beside plain decoding on the built-in prompts."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median

from ..engines.events import EngineError, Message, Stop
from ..engines.options import DRAFTERS, Sampling, Spec
from ..engines.process import ProcessEngine
from ..sessions import figures
from ..sessions.chat import Chat, header
from ..sessions.log import Log
from ..sessions.prompts import PROMPTS, REPEATING
from ..sessions.trials import attempt

PEERS = {"transformers": {}, "transformers lookup": {"prompt_lookup_num_tokens": 10}}
Answer = Callable[[], "Answered"]


@dataclass(frozen=True, slots=True)
class Answered:
    tokens: tuple[int, ...]
    decode_tps: float | None
    drafted: int = 0
    accepted: int = 0


Rounds = dict[str, list[Answered]]


def bench_drafters(
    spec: Spec, runs: int, length: int, prompts: Sequence[str], peers: bool, as_json: bool
) -> int:
    """Greedy answers of at most `length` tokens by every method in turn, each second time in the
    other order, after one warm-up of each. Prints rates and their ratios to plain decoding."""
    theirs = _peers(spec, length) if peers else {}
    engine = ProcessEngine()
    results: dict[str, Rounds] = {}
    try:
        for name in prompts:
            print(f"{name} ...", file=sys.stderr)
            ours = _ours(engine, spec, PROMPTS[name], length)
            methods = ours | {peer: run(PROMPTS[name]) for peer, run in theirs.items()}
            results[name] = _measure(methods, runs)
    finally:
        engine.close()
    print(_as_json(results) if as_json else _tables(results, runs, length))
    return 0


def _measure(methods: dict[str, Answer], runs: int) -> Rounds:
    rounds: Rounds = {}
    for name, run in methods.items():
        try:
            run()  # the warm-up; also tells what cannot run here
        except EngineError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
        else:
            rounds[name] = []
    order = list(rounds)
    for _ in range(runs):
        for name in order:
            rounds[name].append(methods[name]())
        order.reverse()
    return rounds


def _ours(engine: ProcessEngine, spec: Spec, prompt: str, length: int) -> dict[str, Answer]:
    sampling = Sampling(length=length)
    chat = Chat(engine, Log.in_memory(header(spec, sampling)), spec, sampling)
    *_, last = chat.ask(prompt)
    if isinstance(last, Stop) and last.reason == "error":
        raise EngineError(last.what, last.remedy)

    def method(drafter: str) -> Answer:
        def run() -> Answered:
            done = attempt(chat, "bench", replace(spec, drafter=drafter), sampling)
            turn = done.metrics
            return Answered(done.tokens, turn.decode_rate, turn.drafted, turn.accepted)

        return run

    return {drafter: method(drafter) for drafter in DRAFTERS}


def _peers(spec: Spec, length: int) -> dict[str, Callable[[str], Answer]]:
    """transformers' generate() in this process, plain and with its prompt lookup."""
    from ..engines.catalog import checkpoint
    from ..engines.rounds import transformers_run
    from ..engines.text import Text
    from ..engines.threads import wait_briefly

    wait_briefly()
    folder = checkpoint(spec.model)
    text = Text(folder)

    def peer(settings: dict[str, int]) -> Callable[[str], Answer]:
        run = transformers_run(folder, spec.dtype, "cpu", sorted(text.stop_ids), **settings)

        def ask(prompt: str) -> Answer:
            ids, _ = text.prompt([Message("user", prompt)])

            def answer() -> Answered:
                done = run(ids, length)
                return Answered(done.tokens, done.decode_rate)

            return answer

        return ask

    return {name: peer(settings) for name, settings in PEERS.items()}


def _as_json(results: dict[str, Rounds]) -> str:
    raw = {
        prompt: {name: [asdict(each) for each in rounds] for name, rounds in methods.items()}
        for prompt, methods in results.items()
    }
    return json.dumps(raw, allow_nan=False)


def _tables(results: dict[str, Rounds], runs: int, length: int) -> str:
    how = f"median of {runs} runs in turns · greedy, at most {length} tokens"
    return "\n\n".join([*(_table(name, rounds) for name, rounds in results.items()), how])


def _table(prompt: str, rounds: Rounds) -> str:
    plain = rounds["plain"]
    repeats = " (repeats the prompt)" if prompt in REPEATING else ""
    rows = [f"{prompt}{repeats} · {len(plain[0].tokens)} tokens"]
    for name, answered in rounds.items():
        ratios = [
            (each.decode_tps or 0) / (base.decode_tps or 1)
            for each, base in zip(answered, plain, strict=True)
        ]
        drafted = sum(each.drafted for each in answered)
        accepted = figures.share(sum(each.accepted for each in answered), drafted)
        same = "" if answered[0].tokens == plain[0].tokens else "  other tokens"
        rows.append(
            f"{name:20} {figures.rate(median(each.decode_tps or 0 for each in answered)):>7} tok/s"
            f"  {median(ratios):5.2f}×  {min(ratios):5.2f} to {max(ratios):5.2f}"
            f"  accepted {figures.percent(accepted):>5}{same}"
        )
    return "\n".join(rows)
