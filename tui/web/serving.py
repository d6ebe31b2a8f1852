"""`tokenhud serve`: the same app in a browser."""

from __future__ import annotations

import errno
import shlex
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_address
from urllib.parse import urlsplit

import psutil

from ...engines.events import EngineError

INSTALL = "Run: pip install 'tokenhud[serve]'"
WARNING = (
    "Warning: whoever reaches this address chats, and reads and writes files, as you: there is "
    "no password and no encryption. `ssh -L {port}:localhost:{port} HOST` does without."
)
CHAT = (sys.executable, "-P", "-m", "tokenhud")


def serve(
    words: Sequence[str],
    host: str,
    port: int,
    allow_remote: bool,
    chat: Sequence[str] = CHAT,
) -> int:
    """Serves until Ctrl+C; `words` are options of each chat. Raises EngineError where it cannot."""
    if not is_loopback(host) and not allow_remote:
        raise EngineError(
            f"{host} can be reached from other machines, and whoever does acts as you here.",
            "Use --allow-remote if that is meant, or `ssh -L` to this machine.",
        )
    try:
        from .server import WebServer
    except ImportError:
        raise EngineError("The web server textual-serve is not installed.", INSTALL) from None

    try:
        WebServer(_command([*chat, *words]), host, port, lambda: _ready(host, port)).serve()
    except OSError as error:
        raise EngineError(*_unbound(error, host, port)) from None
    finally:
        _end_children()
    return 0


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def same_origin(host: str, origin: str | None) -> bool:
    """Whether a page may open a chat: that of this address, or what is no page. Without this any
    page that is open in the browser could type into a chat."""
    return origin is None or urlsplit(origin).netloc.lower() == host.lower()


def _ready(host: str, port: int) -> None:
    if not is_loopback(host):
        print(WARNING.format(port=port), file=sys.stderr, flush=True)
    where = f"[{host}]" if ":" in host else host
    print(f"http://{where}:{port} has the chat. Ctrl+C ends it.", flush=True)


def _unbound(error: OSError, host: str, port: int) -> tuple[str, str]:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} of {host} is taken.", f"Use another: --port {port + 1}"
    why = error.strerror or str(error)
    return f"{host} port {port} cannot be opened: {why}.", "Use another --host or --port."


def _command(words: Sequence[str]) -> str:
    """For a shell, which gives way to the chat: else it would stand between the two."""
    if sys.platform == "win32":
        return subprocess.list2cmdline(words)
    return f"exec {shlex.join(words)}"


def _end_children() -> None:
    """A chat that did not end when it was asked to."""
    for each in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            each.terminate()
