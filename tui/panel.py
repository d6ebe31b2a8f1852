"""The HUD in words: rows for the side panel, lines for the compact bar. Pure, so that a recorded
log gives a fixed picture."""

from __future__ import annotations

from dataclasses import dataclass

from ..engines.events import Loaded, Prefill, Progress, Sample
from ..engines.options import Sampling, Spec
from ..sessions import figures
from ..sessions.chat import Chat
from ..sessions.clean import one_line
from ..sessions.turns import TurnMetrics
from .drafts import Row, drafts, speedup
from .readings import Readings


@dataclass(frozen=True, slots=True)
class View:
    """Everything that the HUD shows at one moment."""

    readings: Readings
    turn: TurnMetrics
    trend: list[float]
    spec: Spec
    sampling: Sampling
    pending: list[str]
    unsaved: bool
    model: str
    sample: Sample


def view(readings: Readings, chat: Chat, now_ns: int) -> View:
    return View(
        readings,
        readings.meter.metrics(now_ns),
        readings.trend(now_ns),
        readings.spec(chat.spec),
        readings.sampling(chat.sampling),
        readings.pending(chat.spec, chat.sampling),
        bool(chat.log.warning),
        _model(readings.loaded, chat.spec),
        chat.sample or readings.sample,
    )


def _model(loaded: Loaded | None, asked: Spec) -> str:
    if loaded is None:
        return one_line(asked.model)
    name, kind = loaded.model.name, loaded.model.quantization
    return one_line(name if kind in name else f"{name} {kind}")


def panel(seen: View, width: int, height: int) -> list[Row]:
    """The sections that fit, with the air between them only where there is room for all."""
    parts = [_speed(seen, width), drafts(seen.turn, seen.readings, width), _context(seen, width)]
    parts += [_machine(seen), _engine(seen, width), _sampling(seen, width)]
    air = sum(map(len, parts)) + len(parts) - 1 <= height
    rows = [row for part in parts for row in ([*part, Row("", "")] if air else part)]
    return rows[:height]


def bar(seen: View, width: int) -> list[str]:
    turn, sample = seen.turn, seen.sample
    used, total = seen.readings.used(turn), seen.readings.context
    speed = [
        f"{_speed_now(seen)} tok/s {figures.sparkline(seen.trend, 8).lstrip()}".rstrip(),
        f"avg {figures.rate(seen.readings.session_rate)}",
        f"TTFT {figures.elapsed(turn.ttft_ns)}",
        f"accepted {figures.percent(turn.acceptance)}",
        *([speedup(seen.readings)] if turn.drafted else []),
        f"ctx {figures.gauge(figures.share(used, total), 6)}"
        f" {figures.of(figures.count(used), figures.count(total))}",
        f"prefill {figures.rate(turn.prefill_rate)}",
    ]
    state = [
        *(["NOT SAVED"] if seen.unsaved else []),
        "·".join(_running(seen)),
        ", ".join(_picking(seen.sampling, "len")),
        *([f"next: {', '.join(seen.pending)}"] if seen.pending else []),
        f"CPU {_whole(sample.cpu_percent)}",
        f"RAM {figures.size(sample.ram_used)}",
        f"VRAM {figures.size(sample.vram_used)}",
        f"GPU {_whole(sample.gpu_percent)}",
    ]
    return [figures.fit(speed, width), figures.fit(state, width)]


def loading(progress: Progress) -> str:
    share = figures.share(progress.done, progress.total)
    done = f" {figures.gauge(share, 16)} {figures.percent(share)}" if progress.total else " …"
    return f"{one_line(progress.stage, 40)}{done} · what you send now waits for it"


def reading(prefill: Prefill) -> str:
    return f"reading the prompt: {figures.count(prefill.done)} of {figures.count(prefill.total)}"


def _speed(seen: View, width: int) -> list[Row]:
    turn = seen.turn
    when = "now" if turn.start and not turn.stop else "last answer" if turn.stop else ""
    return [
        Row("SPEED", when, "title"),
        Row("", f"{_speed_now(seen)} tok/s", "main"),
        Row("", figures.sparkline(seen.trend, width).strip(), "main"),
        Row("session", f"{figures.rate(seen.readings.session_rate)} tok/s"),
        Row("first token", figures.elapsed(turn.ttft_ns)),
        Row("prefill", f"{figures.rate(turn.prefill_rate)} tok/s"),
        Row("answer", f"{figures.count(turn.completion_tokens if turn.start else None)} tok"),
    ]


def _speed_now(seen: View) -> str:
    turn = seen.turn
    return figures.rate(turn.decode_rate if turn.stop else turn.live)


def _context(seen: View, width: int) -> list[Row]:
    used, total = seen.readings.used(seen.turn), seen.readings.context
    return [
        Row("CONTEXT", figures.of(figures.count(used), figures.count(total)), "title"),
        Row("", figures.gauge(figures.share(used, total), width), "dim"),
    ]


def _machine(seen: View) -> list[Row]:
    sample = seen.sample
    return [
        Row("MACHINE", "", "title"),
        Row("CPU", _whole(sample.cpu_percent)),
        Row("RAM", figures.of(figures.size(sample.ram_used), figures.size(sample.ram_total))),
        Row("engine RSS", figures.size(sample.engine_rss)),
        Row("GPU", _whole(sample.gpu_percent)),
        Row("VRAM", figures.of(figures.size(sample.vram_used), figures.size(sample.vram_total))),
    ]


def _engine(seen: View, width: int) -> list[Row]:
    spec = seen.spec
    local = [
        f"{spec.target} · {_method(seen)}",
        figures.fit([figures.weights(spec), spec.device, _threads(spec)], width),
    ]
    return [
        Row("ENGINE", "NOT SAVED" if seen.unsaved else "", "title"),
        Row("", one_line(seen.model, width)),
        *(Row("", one_line(each, width)) for each in (_running(seen) if spec.url else local)),
    ]


def _running(seen: View) -> list[str]:
    """What answers and how."""
    spec = seen.spec
    if spec.url:
        return [one_line(spec.url), _server(seen.readings.loaded), _method(seen)]
    return [spec.target, _method(seen), figures.weights(spec), _threads(spec, "thr")]


def _server(loaded: Loaded | None) -> str:
    """Which server it is, the beginning of the first note on it."""
    told = "".join(loaded.notes[:1]) if loaded else ""
    return one_line(told.partition(" answers")[0].partition(" runs with")[0]) or figures.ABSENT


def _sampling(seen: View, width: int) -> list[Row]:
    rows = [Row("SAMPLING", "", "title"), Row("", figures.fit(_picking(seen.sampling), width))]
    return rows + [Row("", one_line(f"→ {each} next", width), "warn") for each in seen.pending]


def _picking(sampling: Sampling, length: str = "length") -> list[str]:
    words = [sampling.processor]
    if sampling.temperature:
        words.append(f"T {sampling.temperature:g}")
        words += [f"k {sampling.top_k}"] if sampling.top_k else []
        words += [f"p {sampling.top_p:g}"] if sampling.top_p < 1 else []
        words += [f"min_p {sampling.min_p:g}"] if sampling.min_p else []
        penalty = sampling.repetition_penalty
        words += [f"rep {penalty:g}"] if penalty != 1 else []
        words += [f"seed {sampling.seed}"] if sampling.seed is not None else []
    return [*words, f"{length} {sampling.length}"]


def _method(seen: View) -> str:
    return figures.method(seen.spec, seen.sampling.num_beams)


def _threads(spec: Spec, name: str = "threads") -> str:
    return f"{'auto' if spec.threads is None else spec.threads} {name}"


def _whole(percent: float | None) -> str:
    return figures.percent(None if percent is None else percent / 100)
