"""Looks for a log that does harm, guided by coverage; needs atheris, which is no dependency:

python -m tests.fuzz_log CORPUS_FOLDER [-max_total_time=600]

The folder begins with a whole log and with lines made to do harm, and keeps what led to new code.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

atheris = importlib.import_module("atheris")
with atheris.instrument_imports(include=["tokenhud.sessions", "tokenhud.tui"]):
    from tests.hostile import WHOLE, survives
    from tests.test_log_fuzz import HOSTILE


def main() -> None:
    folder = next((each for each in sys.argv[1:] if not each.startswith("-")), None)
    if folder is None:
        sys.exit(__doc__)
    Path(folder).mkdir(parents=True, exist_ok=True)
    for number, line in enumerate((b"", *HOSTILE)):
        Path(folder, f"seed-{number}").write_bytes(WHOLE + line)
    atheris.Setup(sys.argv, survives)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
