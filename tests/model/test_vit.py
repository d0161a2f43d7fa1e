import pytest
import torch
from safetensors.torch import save_file
from tiny import TINY
from torch.func import functional_call

from vitedit.errors import ArtifactError, UnknownNameError
from vitedit.model.sites import find_sites
from vitedit.model.vit import Split, load_vit

CPU = torch.device("cpu")


@pytest.mark.parametrize("part", ["attn", "mlp"])
@pytest.mark.parametrize("block", [0, 1, 3])
def test_suffix_of_prefix_is_the_whole_model(vit, images, part, block):
    split = Split(vit, find_sites(vit, part, [block]))
    torch.testing.assert_close(split.suffix(split.prefix(images)), vit(images), rtol=1e-5, atol=1e-5)


def test_replaced_matrices_give_the_logits_of_a_model_with_these_matrices(vit, split, images):
    changed = {name: weight + 0.1 * torch.randn_like(weight) for name, weight in split.weights.items()}
    whole = functional_call(vit, changed, (images,))
    torch.testing.assert_close(split.suffix(split.prefix(images), changed), whole, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(whole, vit(images), atol=1e-2)


@pytest.mark.parametrize("own", [False, True])
def test_predictions_of_many_edits_are_those_of_each_edit_alone(vit, split, images, own, monkeypatch):
    monkeypatch.setitem(__import__("vitedit.model.vit", fromlist=["PASS_BYTES"]).PASS_BYTES, "cpu", 20_000)
    changed = {name: weight + torch.randn(5, *weight.shape) for name, weight in split.weights.items()}
    tokens = split.prefix(images)
    many = split.predict_many(
        torch.stack([tokens.roll(i, 0) for i in range(5)]) if own else tokens, split.full(changed)
    )
    for i in range(5):
        alone = functional_call(
            vit,
            {name: tensor[i] for name, tensor in changed.items()},
            (images.roll(i, 0) if own else images,),
        )
        assert torch.equal(many[i], alone.argmax(-1))
    assert len(many.unique()) > 1


def test_a_misspelt_replacement_is_refused(split, images):
    with pytest.raises(UnknownNameError, match="mlp.fc1.wieght"):
        split.suffix(split.prefix(images), {"blocks.1.mlp.fc1.wieght": torch.zeros(96, 24)})


def save(path, model, **changes):
    save_file({**model.state_dict(), **changes}, path)
    return path


def test_a_checkpoint_is_loaded_frozen(tmp_path, vit, images):
    model = load_vit(TINY, save(tmp_path / "x.safetensors", vit), CPU)
    assert torch.equal(model(images), vit(images))
    assert not model.training and not any(p.requires_grad for p in model.parameters())


def test_a_missing_checkpoint_names_the_remedy(tmp_path):
    with pytest.raises(ArtifactError, match="dvc pull"):
        load_vit(TINY, tmp_path / "absent.safetensors", CPU)
