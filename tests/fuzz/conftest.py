"""Lets these tests use what others are tried on: synthetic runs, and the layout of JAX checkpoints."""

import sys
from pathlib import Path

sys.path += [str(Path(__file__).parents[1] / name) for name in ("figures", "model")]
