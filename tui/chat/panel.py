"""The HUD in words: rows for the side panel, lines for the compact bar. Pure, so that a recorded
log gives a fixed picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...engines.events import Loaded, Prefill, Progress, Sample
from ...engines.options import Sampling, Spec
from ...sessions import figures
from ...sessions.chat import Chat
from ...sessions.clean import one_line
from ...sessions.turns import SECOND, TurnMetrics
from ..screens.comparison import last_turns, methods
from .drafts import drafts, speedup
from .levels import WORRIES, level, marked
from .readings import Answer, Readings
from .rows import Row, Word


@dataclass(frozen=True, slots=True)
class View:
    """Everything that the HUD shows at one moment."""

    readings: Readings
    answer: Answer
    turn: TurnMetrics
    trend: list[float]
    spec: Spec
    sampling: Sampling
    pending: list[str]
    unsaved: bool
    model: str
    sample: Sample

    @property
    def context(self) -> int | None:
        start = self.answer.start
        return (start.spec.context if start else None) or self.readings.context


def view(readings: Readings, chat: Chat, now_ns: int) -> View:
    answer = readings.shown(now_ns)
    trial = answer.start if answer.trial else None
    return View(
        readings,
        answer,
        answer.meter.metrics(now_ns),
        answer.meter.history(now_ns, SECOND // 2),
        trial.spec if trial else readings.spec(chat.spec),
        trial.sampling if trial else readings.sampling(chat.sampling),
        [] if trial else readings.pending(chat.spec, chat.sampling),
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
    """The sections; the air between them, what is spare, and the table of turns only where there is
    room. May be longer than `height` even so."""
    readings = seen.readings
    parts = [_speed(seen, width), methods(readings, width)]
    parts += [drafts(seen.turn, seen.answer, readings, width), _context(seen, width)]
    parts += [_machine(seen), _engine(seen, width), _sampling(seen, width)]
    rows = _joined(parts, air=True)
    if len(rows) > height:
        rows = _joined(parts, air=False)
    if len(rows) > height:
        rows = [row for row in rows if not row.spare]
    turns = last_turns(readings, width, height - len(rows) - 1)
    return [*rows, Row("", ""), *turns] if turns else rows


def words(seen: View, width: int) -> list[list[Word]]:
    """The two lines of the bar."""
    return [_fit(line, width) for line in (_speed_words(seen), _state_words(seen))]


def _speed_words(seen: View) -> list[Word]:
    turn, share = seen.turn, _filled(seen)
    full = level("context", share)
    of = figures.of(figures.count(seen.readings.used(turn)), figures.count(seen.context))
    trend = figures.sparkline(seen.trend, 8).lstrip()
    return [
        *([Word(_trial(seen), "SPEED")] if seen.answer.trial else []),
        Word(f"{_speed_now(seen)} tok/s {trend}".rstrip(), "tok/s", "main"),
        *([] if seen.answer.trial else [_average_word(seen)]),
        Word(f"TTFT {figures.elapsed(turn.ttft_ns)}", "first token"),
        Word(f"accepted {figures.percent(turn.acceptance)}", "accepted"),
        *([_gained(seen)] if turn.drafted and not seen.answer.trial else []),
        Word(marked(f"ctx {figures.percent(share)}", full), "CONTEXT", full),
        Word(f"{figures.gauge(share, 6)} {of}", "CONTEXT"),
        Word(f"prefill {figures.rate(turn.prefill_rate)}", "prefill"),
    ]


def _gained(seen: View) -> Word:
    told, slower = speedup(seen.readings)
    return Word(marked(told, slower), "speed-up", slower)


def _state_words(seen: View) -> list[Word]:
    sample = seen.sample
    ram = level("RAM", figures.share(sample.ram_used, sample.ram_total))
    vram = level("VRAM", figures.share(sample.vram_used, sample.vram_total))
    return [
        *([Word(marked("NOT SAVED", "error"), "NOT SAVED", "error")] if seen.unsaved else []),
        Word("·".join(_running(seen)), "runtime"),
        Word(", ".join(_picking(seen.sampling, "len")), "SAMPLING"),
        *([Word(f"next: {', '.join(seen.pending)}", "next")] if seen.pending else []),
        Word(f"CPU {_whole(sample.cpu_percent)}", "CPU"),
        Word(marked(f"RAM {figures.size(sample.ram_used)}", ram), "RAM", ram),
        Word(marked(f"VRAM {figures.size(sample.vram_used)}", vram), "VRAM", vram),
        Word(f"GPU {_whole(sample.gpu_percent)}", "GPU"),
    ]


def _fit(line: list[Word], width: int) -> list[Word]:
    """As many words as fit, those that are a worry before the others; the first is cut where even
    that does not."""
    line = sorted(line, key=lambda word: word.style not in WORRIES)
    kept = figures.fitting([word.text for word in line], width)
    return line[:kept] or [line[0]._replace(text=line[0].text[: max(width, 0)])]


def _joined(parts: Sequence[list[Row]], air: bool) -> list[Row]:
    first, *others = [part for part in parts if part]
    return [*first, *(row for part in others for row in ([Row("", "")] if air else []) + part)]


def loading(progress: Progress, then: str) -> str:
    """`then` is what a person may do about it."""
    share = figures.share(progress.done, progress.total)
    done = f" {figures.gauge(share, 8)} {figures.percent(share)}" if progress.total else " …"
    return f"{then} · {one_line(progress.stage, 48)}{done}"


def reading(prefill: Prefill) -> str:
    return f"reading the prompt: {figures.count(prefill.done)} of {figures.count(prefill.total)}"


def _speed(seen: View, width: int) -> list[Row]:
    turn, trial = seen.turn, seen.answer.trial
    when = "now" if turn.start and not turn.stop else "last answer" if turn.stop else ""
    trend = figures.sparkline(seen.trend, width).strip()
    answered = figures.count(turn.completion_tokens if turn.start else None)
    return [
        Row("SPEED", _trial(seen) if trial else when, "title"),
        Row("", f"{_speed_now(seen)} tok/s", "main", "tok/s"),
        Row("", trend, "main", "speed over time"),
        *([] if trial else [_average(seen)]),
        Row("first token", figures.elapsed(turn.ttft_ns)),
        Row("prefill", f"{figures.rate(turn.prefill_rate)} tok/s"),
        Row("answer", f"{answered} tok", spare=True),
    ]


def _trial(seen: View) -> str:
    trial = seen.answer.trial
    return one_line(f"{trial.purpose} {'now' if not seen.turn.stop else 'last'}") if trial else ""


def _average_word(seen: View) -> Word:
    return Word(f"avg {figures.rate(seen.readings.session_rate)}", "this method")


def _average(seen: View) -> Row:
    return Row("this method", f"{figures.rate(seen.readings.session_rate)} tok/s")


def _speed_now(seen: View) -> str:
    turn = seen.turn
    return figures.rate(turn.decode_rate if turn.stop else turn.live)


def _filled(seen: View) -> float | None:
    return figures.share(seen.readings.used(seen.turn), seen.context)


def _context(seen: View, width: int) -> list[Row]:
    share = _filled(seen)
    full = level("context", share)
    of = figures.of(figures.count(seen.readings.used(seen.turn)), figures.count(seen.context))
    return [
        Row("CONTEXT", marked(of, full), full or "title"),
        Row("", figures.gauge(share, width), full or "dim", "CONTEXT"),
    ]


def _machine(seen: View) -> list[Row]:
    sample = seen.sample
    gpu, vram = _whole(sample.gpu_percent), figures.size(sample.vram_total)
    return [
        Row("MACHINE", "", "title"),
        Row("CPU", _whole(sample.cpu_percent)),
        _memory("RAM", sample.ram_used, sample.ram_total),
        Row("engine RSS", figures.size(sample.engine_rss), spare=True),
        Row("GPU", gpu, spare=gpu == figures.ABSENT),
        _memory("VRAM", sample.vram_used, sample.vram_total, spare=vram == figures.ABSENT),
    ]


def _memory(name: str, used: int | None, total: int | None, spare: bool = False) -> Row:
    full = level(name, figures.share(used, total))
    of = figures.of(figures.size(used), figures.size(total))
    return Row(name, marked(of, full), full, spare=spare)


def _engine(seen: View, width: int) -> list[Row]:
    spec = seen.spec
    local = [
        f"{spec.target} · {_method(seen)}",
        figures.fit([figures.weights(spec), spec.device, _threads(spec)], width),
    ]
    told = _running(seen) if spec.url else local
    unsaved = [Row("", marked("NOT SAVED", "error"), "error", "NOT SAVED")] if seen.unsaved else []
    return [
        Row("ENGINE", "", "title"),
        *unsaved,
        Row("", one_line(seen.model, width), about="model"),
        *(
            Row("", one_line(each, width), about="weights" if each is local[1] else "runtime")
            for each in told
        ),
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
    picking = figures.fit(_picking(seen.sampling), width)
    pending = [one_line(f"→ {each} next", width) for each in seen.pending]
    return [
        Row("SAMPLING", "", "title"),
        Row("", picking, about="SAMPLING"),
        *(Row("", each, "warn", "next") for each in pending),
    ]


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
