"""Which kind of server it is, and what it says of itself."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx

from .remote_faults import words
from .remote_kinds import (
    CHOICES,
    LLAMA_SERVER,
    LM_STUDIO,
    OLLAMA,
    OWNERS,
    SGLANG,
    TENSORRT,
    TRANSFORMERS,
    UNKNOWN,
    VLLM,
    Kind,
)

PROBE = 3.0  # seconds for anything but an answer
DOCUMENT = 4 << 20  # bytes of what a probe reads

_PROBES: tuple[tuple[str, Kind, str], ...] = (  # a path, whose it is, and a field that only it has
    ("/props", LLAMA_SERVER, "default_generation_settings"),
    ("/api/version", OLLAMA, "version"),
    ("/server_info", SGLANG, "model_path"),
    ("/get_server_info", SGLANG, "model_path"),
    ("/api/v0/models", LM_STUDIO, "data"),
    ("/openapi.json", TRANSFORMERS, "paths"),
    ("/version", VLLM, "version"),
)
_ABOUT = {LLAMA_SERVER.name: "/props", OLLAMA.name: "/api/version", SGLANG.name: "/server_info"}
_ABOUT |= {VLLM.name: "/version", TENSORRT.name: "/version", LM_STUDIO.name: "/api/v0/models"}
_OWN = (  # what SGLang tells of how it was started
    "speculative_algorithm",
    "speculative_num_draft_tokens",
    "speculative_num_steps",
    "dtype",
    "quantization",
    "kv_cache_dtype",
    "tp_size",
)


async def find_kind(
    client: httpx.AsyncClient, address: str, models: list[dict[str, Any]]
) -> tuple[Kind, dict[str, Any]]:
    """By who owns the models, else by what else the server answers; and what it says of itself."""
    owners = {str(each.get("owned_by")) for each in models}
    kind = next((OWNERS[owner] for owner in sorted(owners) if owner in OWNERS), None)
    if kind:
        path = _ABOUT.get(kind.name)
        return kind, (await _get(client, address + path) or {}) if path else {}
    found = await asyncio.gather(*(_get(client, address + path) for path, _, _ in _PROBES))
    for (_, kind, sign), about in zip(_PROBES, found, strict=True):
        known = _object(about)
        if sign in known and (kind is not TRANSFORMERS or "/load_model" in _object(known[sign])):
            return kind, known
    return UNKNOWN, {}


def context_of(kind: Kind, entry: dict[str, Any], about: dict[str, Any], model: str) -> int | None:
    loaded = objects(about.get("data")) if kind is LM_STUDIO else []
    known = [
        entry.get("max_model_len"),
        _object(about.get("default_generation_settings")).get("n_ctx"),
        about.get("context_length") if kind is SGLANG else None,
        *(each.get("loaded_context_length") for each in loaded if each.get("id") == model),
    ]
    fits = (each for each in known if type(each) is int and 16 <= each <= 10_000_000)
    return next(fits, None)


def notes_of(kind: Kind, about: dict[str, Any]) -> tuple[str, ...]:
    """In sentences: what it is, what sets how it drafts, and what a request cannot choose."""
    return (*_told(kind, about), *_launched(kind), *_own_picks(kind))


def _told(kind: Kind, about: dict[str, Any]) -> tuple[str, ...]:
    """In a sentence: the server, its version, and of its own settings those that it tells."""
    version = about.get("version") or about.get("build_info")
    name = f"{kind.name} {words(version)[:40]}" if isinstance(version, str) else kind.name
    own = [f"{each} {words(str(about[each]))[:40]}" for each in _OWN if about.get(each)]
    drafts = _object(about.get("default_generation_settings")).get("speculative")
    if isinstance(drafts, bool):
        own.append(f"speculative decoding {'on' if drafts else 'off'}")
    runs = f" runs with {', '.join(own)}" if own else " answers"
    return (f"{name[0].upper()}{name[1:]}{runs}." if kind is UNKNOWN else f"{name}{runs}.",)


def _launched(kind: Kind) -> tuple[str, ...]:
    named = [f"{name} by {kind.flags[name]}" for name in ("drafter", "gamma") if name in kind.flags]
    return (f"Set when it starts: {', '.join(named)}.",) if named else ()


def _own_picks(kind: Kind) -> tuple[str, ...]:
    lacking = [each for each in CHOICES if each not in kind.takes]
    if not lacking:
        return ()
    return (f"It takes no {', '.join(lacking)} from outside: its own values hold.",)


async def _get(client: httpx.AsyncClient, address: str) -> dict[str, Any] | None:
    try:
        async with client.stream("GET", address, timeout=PROBE) as response:
            return await document(response) if response.status_code == 200 else None
    except httpx.RequestError:
        return None


async def document(response: httpx.Response) -> dict[str, Any] | None:
    """A JSON object of a bounded size, or None for whatever else there is."""
    body = bytearray()
    async for part in response.aiter_bytes():
        body += part
        if len(body) > DOCUMENT:
            return None
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def objects(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
