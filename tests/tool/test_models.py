"""Which model is meant, and how it sees an image."""

from pathlib import Path

import pytest
import timm
from safetensors.torch import save_file
from tiny import TINY

from vitedit.config import TransformConfig
from vitedit.config.transforms import timm_transform
from vitedit.errors import ArtifactError, ConfigError
from vitedit.model.about import ModelRecord
from vitedit.tool import models
from vitedit.tool.models import arguments, described, history, load_vit, record_of, save_model

ROOT = Path(__file__).parents[2]
EMBEDDED = ROOT / "data/embedded/checkpoints/base.safetensors"


@pytest.fixture
def weights(vit, tmp_path):
    save_file(vit.state_dict(), tmp_path / "tiny.safetensors")
    return tmp_path / "tiny.safetensors"


@pytest.mark.parametrize("transform", ["timm", "published", TransformConfig(size=24, resize=30)])
def test_a_loaded_model_says_what_it_is(weights, transform):
    if transform == "published":
        with pytest.raises(ConfigError, match="24 x 24 pixels"):
            load_vit(TINY.name, checkpoint=weights, architecture=TINY.architecture, transform=transform)
        return
    model = load_vit(TINY.name, checkpoint=weights, architecture=TINY.architecture, transform=transform)
    record = record_of(model)
    assert (record.name, record.architecture) == (TINY.name, TINY.architecture)
    expected = timm_transform(TINY.name, TINY.architecture) if transform == "timm" else transform
    assert record.transform == expected
    other = TransformConfig(size=24)
    assert record_of(model, other).transform == other


@pytest.mark.parametrize("name", ["deit_tiny_patch16_224", "vit_base_patch16_224.augreg_in21k_ft_in1k"])
def test_a_model_of_timm_is_seen_as_timm_evaluates_it(name):
    import torch

    with torch.device("meta"):
        model = timm.create_model(name)
    record = record_of(model)
    assert record.name.startswith(name) and record.transform == timm_transform(name)


def test_a_checkpoint_of_ours_says_what_it_is(vit, tmp_path):
    record = ModelRecord(name=TINY.name, architecture=TINY.architecture, transform=TransformConfig(size=24))
    path = tmp_path / "edited.safetensors"
    save_model(path, vit.state_dict(), record, ["a" * 64])
    assert described(path) == record and history(path) == ("a" * 64,)
    for foreign in (b"", b"\0" * 64):
        path.write_bytes(foreign)
        assert described(path) is None and history(path) == ()


def test_other_checkpoints_say_nothing(weights, vit, tmp_path):
    assert described(weights) is None and described(tmp_path / "absent.safetensors") is None
    for model in ([], "x", {"name": "x"}, {"name": 3, "transform": {"size": 24}}):
        from vitedit.tensors import save_tensors

        save_tensors(weights, vit.state_dict(), {"model": model, "after": model})
        assert described(weights) is None and history(weights) == ()


@pytest.mark.skipif(
    not EMBEDDED.exists(), reason="the released checkpoints are absent; `dvc pull` brings them"
)
def test_the_embedded_models_say_what_they_are():
    record = described(EMBEDDED)
    assert record is not None and record.architecture["num_classes"] == 20 and record.transform.size == 48


def test_weights_come_from_the_hub_s_cache(monkeypatch, weights):
    asked = []
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *words: asked.append(words) or str(weights))
    with pytest.raises(ArtifactError, match="tensors differ"):
        load_vit("deit_tiny_patch16_224")
    assert asked == [("timm/deit_tiny_patch16_224.fb_in1k", "model.safetensors")]
    monkeypatch.setattr(models, "_from_hub", lambda config: weights)
    assert load_vit(TINY.name, architecture=TINY.architecture).num_classes == 5


def test_words_become_numbers_where_they_can():
    found = arguments(["a=1", "b=1e-3", "c=true", "d=word", "e=x=y"], "--set")
    assert found == {"a": 1, "b": 0.001, "c": True, "d": "word", "e": "x=y"}
    assert [type(value) for value in found.values()] == [int, float, bool, str, str]
    for wrong in ("a", "=1", "a="):
        with pytest.raises(ConfigError, match="NAME=VALUE"):
            arguments([wrong], "--set")
