"""What can go wrong with a server, each as one sentence and what to do."""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Iterator
from typing import Any

import httpx

from .events import EngineError
from .remote_address import OWN_KEY

SHOWN = 160  # characters of a server's own words
READ = 64 << 10  # bytes of an error page
_OVERFLOW = re.compile("context|too long|too many tokens|maximum.{0,20}length|max_model_len", re.I)
_AGAIN = "Send the message again, or use another server."


def unreachable(error: httpx.RequestError, address: str) -> EngineError:
    """Before or in the middle of an answer."""
    causes = " ".join(map(str, _causes(error)))
    match error:
        case httpx.ProxyError():
            return EngineError(
                f"The proxy does not let through to {address}.", "See HTTPS_PROXY and NO_PROXY."
            )
        case httpx.ConnectTimeout():
            return EngineError(f"{address} does not answer.", "Is it running, and not fenced off?")
        case httpx.ConnectError() if any(
            isinstance(each, ssl.SSLCertVerificationError) for each in _causes(error)
        ):
            return EngineError(
                f"The certificate of {address} cannot be verified.",
                "Set SSL_CERT_FILE to the file of its authority.",
            )
        case httpx.ConnectError() if "SSL" in causes:
            return EngineError(f"{address} does not speak TLS.", "Is it http:// and not https://?")
        case httpx.ConnectError() if re.search("name|address associated|nodename", causes, re.I):
            return EngineError(f"There is no host of that name: {address}.", "Check the address.")
        case httpx.ConnectError():
            return EngineError(f"Nothing answers at {address}.", "Start the server, then retry.")
        case httpx.TimeoutException():
            return EngineError(f"{address} has stopped sending.", _AGAIN)
        case _:
            return EngineError(f"The connection to {address} broke.", _AGAIN)


def dropped(address: str) -> EngineError:
    return EngineError(f"The connection to {address} ended in mid-answer.", _AGAIN)


async def refused(response: httpx.Response, address: str, secret: str) -> EngineError:
    """Of a response that is no success; its body is read here, a bounded part of it."""
    try:
        body = await _beginning(response)
    except httpx.RequestError:
        body = b""
    said = words(_message(body), secret)
    retry = words(response.headers.get("retry-after", ""), secret)
    return _refused(response.status_code, said, retry, address, bool(secret))


def told(error: Any, address: str, secret: str) -> EngineError:
    """Of an error that stands in the stream itself."""
    said = words(_said(error), secret)
    code = error.get("code") if isinstance(error, dict) else None
    return _refused(code if type(code) is int else 500, said, "", address, bool(secret))


def words(text: str, secret: str = "") -> str:
    """A server's words on one line, bounded, without control characters and without the key."""
    text = text[: 16 * SHOWN]
    text = text.replace(secret, "…") if secret else text
    flat = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return flat if len(flat) <= SHOWN else flat[: SHOWN - 1] + "…"


def _refused(status: int, said: str, retry: str, address: str, has_key: bool) -> EngineError:
    quoted = f": {said}" if said else "."
    match status:
        case 401 if not has_key:
            return EngineError(f"{address} wants a key.", f"Set {OWN_KEY} and start again.")
        case 401 | 403:
            return EngineError(
                f"{address} does not take the key ({status}){quoted}", f"Check {OWN_KEY}."
            )
        case 429:
            when = f"in {retry} s" if retry.isdigit() else f"after {retry}" if retry else "later"
            return EngineError(f"{address} takes no more requests now (429).", f"Send {when}.")
        case 400 | 413 | 422 if _OVERFLOW.search(said):
            return EngineError(
                f"The conversation does not fit{quoted}", "Use /undo or /clear, or send less."
            )
        case 404 if "model" in said.lower():
            return EngineError(f"The server has no such model{quoted}", "Name another with /model.")
        case 404:
            return EngineError(f"{address} has no chat there (404).", "Check the address.")
        case _ if 300 <= status < 400:
            return EngineError(f"{address} leads elsewhere ({status}).", "Give the final address.")
        case _ if status >= 500:
            return EngineError(f"The server failed ({status}){quoted}", _AGAIN)
        case _:
            return EngineError(f"The server refused ({status}){quoted}", "Change the request.")


async def _beginning(response: httpx.Response) -> bytes:
    body = b""
    async for part in response.aiter_bytes():
        body += part
        if len(body) >= READ:
            break
    return body


def _message(body: bytes) -> str:
    text = body.decode(errors="replace")
    try:
        return _said(json.loads(text))
    except (ValueError, RecursionError):
        return "" if text.lstrip().startswith("<") else text  # a page says nothing in one line


def _said(value: Any) -> str:
    """The message inside what servers wrap it in."""
    if isinstance(value, dict):
        inner = (value[name] for name in ("error", "message", "detail") if value.get(name))
        return _said(next(inner, ""))
    return value if isinstance(value, str) else json.dumps(value)


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause:
        yield cause
        cause = cause.__cause__ or cause.__context__
