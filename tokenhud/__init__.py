"""A terminal chat with a live performance HUD, and the benchmark that its log becomes."""

__version__ = "0.1.0"
