"""What each way to decode gave on this machine: in a chat, and in the results that are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..engines.events import EngineError, Event, Loaded, Start, Stop
from ..engines.options import Spec
from .bench.result import RAW
from .bench.saved_results import Saved
from .costs import method, place
from .metrics import Meter
from .reading import only_records, read
from .records import Header, Record, Trial, Turn
from .turns import TurnMetrics, rate, ratio

CHAT = "this chat"
KEPT = 30  # results at most, the newest
LARGEST = 1 << 26  # bytes of a raw log that is read for this
# Fields of Spec that tell one way from another, the weightiest first.
LIKE = ("url", "target", "quantize", "dtype", "drafter", "device", "triton", "gamma_policy")


@dataclass(frozen=True, slots=True)
class MeasuredHere:
    """The whole answers of one method on the same weights, cold ones left out."""

    spec: Spec  # as used, the last of them
    sha256: str  # of the weights
    answers: int
    tokens: int  # that were timed
    decode_rate: float
    acceptance: float | None
    source: str  # CHAT, or the name of a kept result


def in_chat(records: Sequence[Record]) -> list[MeasuredHere]:
    """Of a chat's turns and its trials. A log may go on from another machine: what counts was
    measured on that of the last header."""
    headers = [each for each in records if isinstance(each, Header)]
    return _measured(records, CHAT, machine_of(headers[-1].environment) if headers else ())


def in_results(kept: Sequence[Saved], environment: dict[str, Any]) -> Iterator[MeasuredHere]:
    """Of the newest results that were measured on the machine that `environment` tells of."""
    here = machine_of(environment)
    for saved in [each for each in kept if each.purpose][:KEPT]:
        try:
            if (saved.path / RAW).stat().st_size <= LARGEST:
                records = only_records(read(saved.path / RAW))
                yield from _measured(records, saved.path.name, here)
        except (EngineError, OSError):
            continue


def machine_of(environment: dict[str, Any]) -> tuple[object, ...]:
    """What figures depend on, of a header's environment."""
    about = _mapping(environment, "machine_info")
    cpu, gpu = _mapping(about, "cpu"), _mapping(about, "gpu")
    return cpu.get("name"), cpu.get("usable"), gpu.get("name"), about.get("machine")


def _mapping(of: dict[str, Any], name: str) -> dict[str, Any]:
    """A log may hold anything there."""
    value = of.get(name)
    return value if isinstance(value, dict) else {}


def closest(
    found: Iterable[MeasuredHere], asked: Callable[[Spec], bool], now: Spec, sha256: str
) -> MeasuredHere | None:
    """The one of those asked for that is most like what runs now; of equals the first."""

    def unlike(each: MeasuredHere) -> tuple[bool, ...]:
        other = (getattr(each.spec, name) != getattr(now, name) for name in LIKE)
        return each.sha256 != sha256, *other

    return min((each for each in found if asked(each.spec)), key=unlike, default=None)


def speedup(of: MeasuredHere, found: Iterable[MeasuredHere]) -> float | None:
    """Over plain decoding on the same weights in the same source."""
    if of.spec.drafter == "plain":
        return None
    plain = (each for each in found if each.spec.drafter == "plain" and _alike(each, of))
    base = next(plain, None)
    return of.decode_rate / base.decode_rate if base else None


def alike(one: MeasuredHere, other: MeasuredHere) -> bool:
    """Whether their rates may be compared: the same weights, held and run alike."""
    return (one.sha256, place(one.spec)) == (other.sha256, place(other.spec))


def _alike(one: MeasuredHere, other: MeasuredHere) -> bool:
    return one.source == other.source and alike(one, other)


class _Answered(NamedTuple):
    metrics: TurnMetrics
    start: Start
    sha256: str


def _measured(records: Iterable[Record], source: str, here: object) -> list[MeasuredHere]:
    groups: dict[tuple[object, ...], list[_Answered]] = {}
    for each in _answers(records, here):
        key = each.sha256, place(each.start.spec), method(each.start.spec)
        groups.setdefault(key, []).append(each)
    return [told for group in groups.values() if (told := _summed(group, source))]


def _summed(group: Sequence[_Answered], source: str) -> MeasuredHere | None:
    timed = [each.metrics for each in group if each.metrics.decode_rate]
    tokens = sum(each.decode_tokens for each in timed)
    decode_rate = rate(tokens, sum(each.decode_ns or 0 for each in timed))
    if decode_rate is None:
        return None
    accepted = sum(each.accepted for each in timed)
    acceptance = ratio(accepted, sum(each.drafted for each in timed))
    spec, sha256 = group[-1].start.spec, group[-1].sha256
    return MeasuredHere(spec, sha256, len(timed), tokens, decode_rate, acceptance, source)


@dataclass(slots=True)
class _Reader:
    """Follows a log: whose machine it is, which weights are loaded, and the answer on its way."""

    here: object
    elsewhere: bool = False
    loaded: dict[str, str] = field(default_factory=dict)  # sha256 by address
    meter: Meter | None = None

    def take(self, record: Record) -> TurnMetrics | None:
        """The answer that ends here, where it counts."""
        match record:
            case Header(environment=environment):
                self.elsewhere = machine_of(environment) != self.here
            case Loaded(model=model, spec=spec):
                self.loaded[spec.url] = model.sha256
            case Turn():
                self.meter = Meter()
            case Trial(purpose=purpose, warmup=warmup):
                # verify asks for margins, which take time; quant judges and does not write
                self.meter = None if warmup or purpose in ("verify", "quant") else Meter()
            case _ if self.meter and isinstance(record, Event):
                self.meter.add(record)
                return self._ended() if isinstance(record, Stop) else None
            case _:
                pass
        return None

    def _ended(self) -> TurnMetrics | None:
        assert self.meter
        told, self.meter = self.meter.metrics(), None
        beams = told.start.sampling.num_beams if told.start else 0
        counts = told.finished and not told.cold and beams == 1 and not self.elsewhere
        return told if counts else None


def _answers(records: Iterable[Record], here: object) -> Iterator[_Answered]:
    reader = _Reader(here)
    for record in records:
        told = reader.take(record)
        if told and told.start:
            sha256 = reader.loaded.get(told.start.spec.url, "")
            yield _Answered(told, told.start, sha256)
