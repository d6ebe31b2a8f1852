"""From a Spec to an opened model: files, text, weights."""

from __future__ import annotations
