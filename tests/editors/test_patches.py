"""Every method's edits as patches: applied and reverted, bit for bit."""

import pytest
import torch
from patches import ABOUT, bits
from test_contract import make, train

from vitedit.editors import EDITORS
from vitedit.errors import ArtifactError
from vitedit.model.patch import Patch


@pytest.fixture(scope="module")
def trained(split, images):
    return train(split, images)


@pytest.mark.parametrize("method", EDITORS)
def test_applied_and_reverted_bit_for_bit(method, split, samples, trained, images, tmp_path):
    editor = make(method, trained)
    edits, vit = editor.edit(split, samples), split.vit
    Patch.of(edits, 1, vit, ABOUT).save(tmp_path / "fix.safetensors")
    patch = Patch.load(tmp_path / "fix.safetensors")
    base, cut = vit.state_dict(), editor.cut(split)
    before = bits(base)
    expected = cut.suffix(cut.prefix(images), {name: new[1] for name, new in edits.changed.items()})
    with patch.applied(vit):
        torch.testing.assert_close(vit(images), expected)
    assert bits(vit.state_dict()) == before
    for name, new in patch.replaced(vit).items():
        assert torch.equal(new[0], edits.changed[name][1])
    if method == "t_patcher":
        with pytest.raises(ArtifactError, match="adds neurons"):
            patch.apply(base)
        return
    assert bits(patch.revert(patch.apply(base))) == before
