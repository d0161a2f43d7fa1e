"""Lets these tests use the synthetic runs that figures are tried on."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "figures"))
