"""What a kept state must have been made with for a job to go on from it."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vitedit.data.checksums import checksums


def same_work(needs: Mapping[str, Any], code: str, inputs: Iterable[Path]) -> dict[str, Any]:
    """Configuration, code (its hash) and content of the inputs of a training, or of edits.

    The configuration alone would let a job go on that began with other code or from other groups, and its result would
    be neither that of the old nor that of the new.
    """
    content = checksums(inputs)
    return {
        **needs,
        "code": code,
        "inputs": dict(zip(content["path"], content["sha256"], strict=True)),
    }
