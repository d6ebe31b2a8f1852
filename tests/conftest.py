"""Kernels run in Triton's interpreter where there is no GPU.

Triton reads the variable when it is first imported, and other libraries may import it first.
"""

import os
from pathlib import Path

if not Path("/dev/nvidiactl").exists():
    os.environ.setdefault("TRITON_INTERPRET", "1")
