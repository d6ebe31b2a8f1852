"""Figures as people read them. Every number that a person reads is formatted here; None is "–"."""

from __future__ import annotations

from collections.abc import Sequence

from ..engines.options import Spec
from .turns import TurnMetrics

ABSENT = "–"
BETWEEN = " · "
_BARS = "▁▂▃▄▅▆▇█"
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def rate(per_second: float | None) -> str:
    """Tokens a second: three digits that matter, so 41.2 and 1,204."""
    if per_second is None:
        return ABSENT
    return f"{per_second:.1f}" if per_second < 999.95 else f"{per_second:,.0f}"


def duration(seconds: float | None) -> str:
    if seconds is None:
        return ABSENT
    if seconds < 0.9995:
        return f"{seconds * 1e3:.0f} ms"
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    return f"{seconds // 60:.0f} min {seconds % 60:02.0f} s"


def elapsed(ns: float | None) -> str:
    return duration(None if ns is None else ns / 1e9)


def percent(fraction: float | None) -> str:
    return ABSENT if fraction is None else f"{fraction * 100:.0f} %"


def factor(number: float | None) -> str:
    return ABSENT if number is None else f"{number:.2f}"


def count(number: int | None) -> str:
    return ABSENT if number is None else f"{number:,}"


def counted(number: int, what: str) -> str:
    """ "1 prompt", "2 prompts"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def size(amount: float | None) -> str:
    if amount is None:
        return ABSENT
    for unit in _UNITS:
        if amount < 1023.5 or unit == _UNITS[-1]:
            break
        amount /= 1024
    digits = 1 if amount < 99.95 and unit not in ("B", "KiB") else 0
    return f"{amount:.{digits}f} {unit}"


def share(part: int | None, whole: int | None) -> float | None:
    """`part` of `whole`, absent where either is unknown."""
    return None if part is None or not whole else part / whole


def of(used: str, total: str) -> str:
    """Two formatted figures as "1.2 / 7.8 GiB": a unit they share is written once."""
    if used == ABSENT and total == ABSENT:
        return ABSENT
    number, _, unit = used.partition(" ")
    return f"{number if unit and total.endswith(unit) else used} / {total}"


def gauge(fraction: float | None, width: int) -> str:
    """A bar that is never empty when something is used and never full when something is left."""
    width = max(width, 0)
    if fraction is None:
        return "·" * width
    filled = round(min(max(fraction, 0.0), 1.0) * width)
    if width > 1:
        filled = min(max(filled, fraction > 0), width - (fraction < 1))
    return "█" * filled + "░" * (width - filled)


def sparkline(values: Sequence[float], width: int) -> str:
    """The last `width` values, scaled to the largest of them; zero is the lowest bar."""
    shown = list(values)[-width:] if width > 0 else []
    top = max(shown, default=0.0) or 1.0
    bars = "".join(_BARS[min(int(v / top * len(_BARS)), len(_BARS) - 1)] for v in shown)
    return bars.rjust(max(width, 0))


def bars(shares: Sequence[float]) -> str:
    """One bar for each share of 1."""
    return "".join(_BARS[min(int(each * len(_BARS)), len(_BARS) - 1)] for each in shares)


def fit(words: Sequence[str], width: int) -> str:
    """As many leading `words` as fit in `width`; the first is cut when even that does not."""
    kept = fitting(words, width)
    if kept == 0 and words:
        return words[0][: max(width, 0)]
    return BETWEEN.join(words[:kept])


def fitting(words: Sequence[str], width: int) -> int:
    """How many leading `words` fit in `width`."""
    lengths = [len(BETWEEN.join(words[:n])) for n in range(len(words) + 1)]
    return max(n for n, length in enumerate(lengths) if n == 0 or length <= width)


def method(spec: Spec, beams: int = 1) -> str:
    """What decodes, in a few words."""
    if spec.url:
        return "the server's own"
    if beams > 1:
        return f"beam {beams}"
    if spec.drafter == "plain":
        return "plain"
    gamma = spec.gamma if spec.gamma_policy == "fixed" else spec.gamma_policy
    return f"{spec.drafter} γ {gamma}"


def turn_line(turn: TurnMetrics, speedup: float | None = None) -> str:
    """What an answer cost, in one line under it; `speedup` is against plain decoding."""
    words = [
        f"{count(turn.completion_tokens)} tok",
        f"{rate(turn.decode_rate)} tok/s",
        f"TTFT {elapsed(turn.ttft_ns)}",
    ]
    if turn.remote and turn.ttft_ns is not None:
        words.append(f"without the network {elapsed(turn.adjusted_ttft_ns)}")
    if turn.drafted:
        accepted = f"{turn.accepted}/{turn.drafted}"
        words.append(f"accepted {percent(turn.acceptance)} ({accepted})")
        words += [f"{factor(speedup)}× plain"] if speedup else []
    words += [turn.reason] if turn.reason not in (None, "stop") else []
    words += ["cold, not counted"] if turn.cold else []
    return " · ".join(words)


def weights(spec: Spec) -> str:
    """How the engine holds the weights."""
    if spec.url:
        return ABSENT
    if spec.target == "llamacpp":
        return "gguf" if spec.kv_type == "auto" else f"gguf, kv {spec.kv_type}"
    return spec.dtype if spec.quantize == "none" else f"{spec.quantize} ({spec.dtype})"
