"""Names of files as they are typed behind a command."""

from __future__ import annotations

import shlex
import unicodedata

FOREVER = " --forever"  # behind the name of what is deleted


def quoted(name: str) -> str:
    """In quotes where it would be taken for something else without."""
    plain = name == name.strip() and name == unicodedata.normalize("NFC", name)
    plain = plain and name.isprintable() and name[:1] not in ("'", '"')
    return name if plain and not name.endswith(FOREVER) else shlex.quote(name)


def unquoted(text: str) -> str:
    """The name that is meant by all that stands behind a command."""
    if text[:1] not in ("'", '"'):
        return text
    try:
        parts = shlex.split(text)
    except ValueError:
        return text
    return parts[0] if len(parts) == 1 else text
