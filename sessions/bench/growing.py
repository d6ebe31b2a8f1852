"""What an experiment has measured so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ...engines.events import Loaded
from .answers import Answer, answer
from .experiment import LeftOut, Told
from .plan import Case, Plan
from .result import Failure, Result
from .runs import Run


@dataclass(slots=True)
class Growing:
    plan: Plan
    cases: Sequence[Case]
    _answers: list[Answer] = field(default_factory=list)
    _failures: dict[tuple[str, str], str] = field(default_factory=dict)
    _loaded: Loaded | None = None

    def take(self, told: Told) -> bool:
        """Whether `result` is another one now."""
        match told:
            case Loaded():
                self._loaded = told
            case LeftOut():
                self._failures[told.method, told.case] = told.why
                return True
            case Run() if told.metrics.reason != "error":
                self._answers.append(answer(told, loaded=self._loaded))
                return True
            case _:
                pass
        return False

    @property
    def result(self) -> Result:
        return Result(
            "",
            None,
            self.plan,
            tuple(self.cases),
            tuple(self._answers),
            (),
            tuple(Failure(*key, why) for key, why in self._failures.items()),
        )
