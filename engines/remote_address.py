"""Where a server is, without secrets: those come from the environment or the keyring."""

from __future__ import annotations

import os
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

ENDINGS = ("/completions", "/chat", "/v1")  # of an address that was copied whole
OWN_KEY, COMMON_KEY = "TOKENHUD_API_KEY", "OPENAI_API_KEY"
KEYRING = "tokenhud"  # service name; the user name is the server's host and port


class Key(NamedTuple):
    secret: str
    source: str

    @property
    def problem(self) -> str:
        """Why it cannot be sent, without quoting it."""
        fits = self.secret.isascii() and self.secret.isprintable()
        return "" if fits else f"The key from {self.source} has characters that no key has."

    def __repr__(self) -> str:
        return f"Key(from {self.source})"


def address_problem(url: str) -> str:
    """Why `url` cannot be a server's address, without quoting it: it may hold a password."""
    if not url or _whole(url):
        return ""
    return (
        "is http:// or https://, a host, and a port and a path at most: no user, password or query"
    )


def root(url: str) -> str:
    """`url` without what every server has below it, such as /v1."""
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    for ending in ENDINGS:
        path = path.removesuffix(ending)
    return f"{parts.scheme}://{parts.netloc}{path}"


def key(url: str) -> Key | None:
    """The secret for the server at `url`. OPENAI_API_KEY is meant for another server as a rule, so
    it never leaves this machine unencrypted."""
    if secret := os.environ.get(OWN_KEY, "").strip():
        return Key(secret, OWN_KEY)
    parts = urlsplit(url)
    if secret := _kept(parts.netloc):
        return Key(secret, "the keyring")
    secret = os.environ.get(COMMON_KEY, "").strip()
    private = parts.scheme == "https" or _loopback(parts.hostname or "")
    return Key(secret, COMMON_KEY) if secret and private else None


def _whole(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.port != 0 and _plain(parts) and url.isprintable() and " " not in url
    except ValueError:
        return False


def _plain(parts: SplitResult) -> bool:
    known = parts.scheme in ("http", "https") and bool(parts.hostname)
    return known and "@" not in parts.netloc and not parts.query and not parts.fragment


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _kept(name: str) -> str:
    """A keyring may be missing, locked or broken: then it has nothing."""
    try:
        import keyring

        return keyring.get_password(KEYRING, name) or ""
    except Exception:
        return ""
