"""A model's own chat template: foreign code, run in a sandbox, that turns messages into text."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from .events import EngineError

MAX_TEXT = 1 << 24  # characters of a rendered conversation, or of one repeated string
MAX_SECONDS = 10
MAX_ROUNDS = 1_000_000  # of all loops over a range

Chat = list[dict[str, str]]

FALLBACK = (
    "{% for message in messages %}{{ message.role | capitalize }}: {{ message.content }}\n\n"
    "{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)


class Template:
    """Renders as transformers does; whatever goes wrong inside is an EngineError."""

    def __init__(self, source: str, tokens: Mapping[str, str]) -> None:
        self._tokens = tokens  # bos_token and the like, by name
        try:
            self._compiled = _sandbox().from_string(source)
        except Exception as error:
            raise _failed(error) from error

    def render(self, chat: Chat, answer: bool = True) -> str:
        """The conversation as text; `answer` opens the assistant's turn at its end."""
        values: dict[str, Any] = {
            "messages": list(chat),
            "add_generation_prompt": answer,
            **self._tokens,
        }
        values |= {"tools": None, "documents": None, "range": _counted_range()}
        try:
            return _joined(self._compiled.generate(values))
        except Exception as error:
            raise _failed(error) from error


class _Sandbox(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Small numbers and short strings only: 'a' * 10**10 would take the memory."""
        sizes = [len(each) if hasattr(each, "__len__") else abs(each) for each in (left, right)]
        limit = MAX_TEXT if operator == "*" else 64
        if (sizes[0] * sizes[1] if operator == "*" else max(sizes)) > limit:
            raise SecurityError("it multiplies to an absurd size")
        return super().call_binop(context, operator, left, right)


class _Generation(Extension):
    """{% generation %} marks the assistant's words for training; here it changes nothing."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _sandbox() -> _Sandbox:
    sandbox = _Sandbox(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols])
    sandbox.filters["tojson"] = _tojson
    sandbox.globals["raise_exception"] = _raise
    sandbox.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return sandbox


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Jinja's own filter escapes HTML, which no model was trained on."""
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _raise(message: str) -> NoReturn:
    raise TemplateError(message)


def _counted_range() -> Callable[..., range]:
    """`range` with so many rounds for one rendering, however its loops are nested."""
    left = MAX_ROUNDS

    def counted(*bounds: int) -> range:
        nonlocal left
        found = range(*bounds)
        left -= len(found) + 1
        if left < 0:
            raise SecurityError("it does not come to an end")
        return found

    return counted


def _joined(parts: Iterable[str]) -> str:
    text, size, end = [], 0, time.monotonic() + MAX_SECONDS
    for part in parts:
        text.append(part)
        size += len(part)
        if size > MAX_TEXT or time.monotonic() > end:
            raise SecurityError("it does not come to an end")
    return "".join(text)


def _failed(error: Exception) -> EngineError:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return EngineError(
        f"The model's chat template refuses this conversation: {lines[0][:200].rstrip('.')}.",
        "Use /undo or /clear, or another model.",
    )
