"""Work that takes longer than a frame, beside the screen."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from textual.dom import DOMNode
from textual.worker import Worker

from ..sessions.clean import one_line


def beside(
    node: DOMNode, work: Callable[[], None], group: str = "default", exclusive: bool = False
) -> Worker[None]:
    """Runs `work` in a thread; `exclusive` cancels what the node still runs of that group. A fault
    of ours is told and ends no screen."""

    def guarded() -> None:
        try:
            work()
        except Exception as error:
            with suppress(RuntimeError):  # the program has ended meanwhile
                told = f"{fault(error)} Esc goes back."
                node.app.call_from_thread(node.notify, told, severity="error", markup=False)  # type: ignore[attr-defined]

    return node.run_worker(guarded, group=group, exclusive=exclusive, thread=True)


def fault(error: BaseException | None) -> str:
    return f"{one_line(f'{type(error).__name__}: {error}')}. This is a fault of tokenhud."
