"""Patches from elsewhere, damaged: refused by name, never a traceback, and never a model that they do not name."""

from pathlib import Path

from damage import FUZZ, Damage, damages, outcome
from hypothesis import given
from patches import ABOUT

from vitedit.errors import ArtifactError
from vitedit.model.changes import Full
from vitedit.model.edits import Edits
from vitedit.model.patch import Patch, checksum

NAME = "blocks.1.mlp.fc2.weight"


@FUZZ
@given(damage=damages())
def test_damaged(vit, tmp_path: Path, damage: Damage) -> None:
    import torch

    base = vit.get_parameter(NAME)
    new, one = base.clone(), torch.zeros(1)
    new[:, 3] += 1
    edits = Edits({NAME: Full(base, new[None])}, one.long(), one.long(), one, one.bool())
    Patch.of(edits, 0, vit, ABOUT).save(tmp_path / "x.safetensors")
    path = tmp_path / "x.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    found = outcome(lambda: Patch.load(path))
    if isinstance(found, Exception):
        assert isinstance(found, ArtifactError) and path.name in str(found)
        return
    edited = outcome(lambda: found.apply(vit.state_dict()))
    assert isinstance(edited, ArtifactError) or checksum(edited) == found.edited
