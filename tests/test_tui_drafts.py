"""What the HUD says of drafting, from records alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tokenhud.engines.events import Prefill, Start, Step, Stop
from tokenhud.engines.options import Sampling, Spec
from tokenhud.sessions.records import Record, Turn
from tokenhud.tui.chat.drafts import drafts, speedup
from tokenhud.tui.chat.readings import Readings

MS = 1_000_000


class Tape:
    """Records of turns on a clock of its own."""

    def __init__(self) -> None:
        self.now = 0
        self.readings = Readings()

    def turn(self, spec: Spec, steps: Sequence[tuple[int, int, int]]) -> None:
        """Each step: tokens drafted, accepted, milliseconds."""
        for record in self._turn(spec, steps):
            self.readings.add(record)

    def _turn(self, spec: Spec, steps: Sequence[tuple[int, int, int]]) -> Iterator[Record]:
        yield Turn(1, "x", "")
        yield Start(self.now, (1, 2), 0, False, spec, Sampling())
        yield Prefill(self.now, 0, 2)
        for drafted, accepted, ms in steps:
            self.now += ms * MS
            ids = (1,) * (accepted + 1)
            yield Step(ids, ("a",) * len(ids), drafted, accepted, self.now, 0, ms * MS)
        yield Stop(self.now, "length")

    def rows(self) -> dict[str, str]:
        answer = self.readings.answer
        rows = drafts(answer.meter.metrics(), answer, self.readings, 30)
        return {row.label or row.value: row.value for row in rows}


PLAIN, SUFFIX = Spec(threads=2), Spec(threads=2, drafter="suffix")


def test_plain_decoding_drafts_nothing_and_says_no_more():
    tape = Tape()
    tape.turn(PLAIN, [(0, 0, 10)] * 80)
    assert tape.rows() == {"DRAFTS": "none"}


def test_before_a_plain_answer_the_speed_up_is_a_prediction_and_marked():
    tape = Tape()
    tape.turn(SUFFIX, [(0, 0, 10)] * 5 + [(4, 4, 10)] * 20)
    rows = tape.rows()
    assert rows["accepted"] == "100 %"
    assert rows["check costs"] == "1.00× for 4"
    assert rows["speed-up"].startswith("≈4.")


def test_after_a_plain_answer_it_is_measured():
    tape = Tape()
    tape.turn(PLAIN, [(0, 0, 10)] * 80)
    tape.turn(SUFFIX, [(4, 3, 20)] * 41)
    assert tape.rows()["speed-up"] == "2.00×"
    assert tape.rows()["by place"] == "███▁"
    assert speedup(tape.readings) == ("2.00× plain", "")


def test_a_method_that_loses_says_so_also_when_it_drafts_no_more():
    tape = Tape()
    tape.turn(PLAIN, [(0, 0, 10)] * 80)
    tape.turn(SUFFIX, [(4, 0, 20)] * 80)
    assert "! slower than plain here" in tape.rows()
    assert speedup(tape.readings) == ("0.50× slower than plain", "warn")
    tape.turn(SUFFIX, [(0, 0, 10)] * 5)
    assert "! γ auto drafts nothing: slower here" in tape.rows()
