"""Transforms by a word: what timm and the published code do to a photograph."""

import subprocess
import sys

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from timm.data import create_transform, resolve_data_config
from timm.models import get_pretrained_cfg
from torchvision.transforms import v2

from vitedit.config import ModelConfig
from vitedit.data.images import fit, normalize


def model(transform: object, name: str = "deit_tiny_patch16_224", **more: object) -> ModelConfig:
    return ModelConfig.model_validate({"name": name, "checkpoint": "w.pth", "transform": transform, **more})


def ours(settings: ModelConfig, photograph: Image.Image) -> torch.Tensor:
    return normalize(np.stack([fit(photograph, settings.transform)]), settings.transform)[0]


@pytest.fixture
def photograph() -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (300, 411, 3), np.uint8))


@pytest.mark.parametrize(
    "name",
    [
        "deit_tiny_patch16_224",
        "vit_base_patch16_224.augreg_in21k_ft_in1k",
        "vit_base_patch16_clip_224.openai_ft_in1k",
        "vit_small_patch14_dinov2.lvd142m",
    ],
)
def test_timm_means_what_timm_evaluates_with(name: str, photograph: Image.Image):
    known = get_pretrained_cfg(name)
    assert known is not None
    reference = create_transform(**resolve_data_config({}, pretrained_cfg=known.to_dict()), is_training=False)
    torch.testing.assert_close(
        ours(model("timm", name), photograph), reference(photograph), atol=1e-5, rtol=0
    )


def test_timm_follows_another_input_size(photograph: Image.Image):
    settings = model("timm", architecture={"img_size": 160})
    reference = create_transform(
        (3, 160, 160),
        interpolation="bicubic",
        crop_pct=0.9,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    )
    assert (settings.transform.resize, settings.transform.size) == (177, 160)
    torch.testing.assert_close(ours(settings, photograph), reference(photograph), atol=1e-5, rtol=0)


def test_published_means_what_the_published_code_does(photograph: Image.Image):
    half = [0.5, 0.5, 0.5]
    reference = v2.Compose(
        [
            v2.Resize(256),
            v2.CenterCrop(224),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(half, half),
        ]
    )
    read = ours(model("published"), photograph)
    torch.testing.assert_close(read, reference(photograph), atol=1e-6, rtol=0)
    assert (read - ours(model("timm"), photograph)).abs().mean() > 0.1


@pytest.mark.parametrize("transform", ["timm", "published", {"size": 32, "mean": [0.1, 0.2, 0.3]}])
def test_a_written_configuration_loads_again_to_the_same(transform: object):
    settings = model(transform)
    dumped = settings.model_dump(mode="json")
    assert dumped["transform"]["size"] in (224, 32)
    assert ModelConfig.model_validate(yaml.safe_load(yaml.safe_dump(dumped))) == settings


@pytest.mark.parametrize(
    ("transform", "name", "message"),
    [
        ("tim", "deit_tiny_patch16_224", "'tim' is no transform; write a section, `timm` or `published`"),
        ("timm", "no_such_model", "transform of 'no_such_model', which is no model of timm; correct `name`"),
        ("timm", "deit_tiny_patch16_224.no_such_tag", "which is no model of timm"),
        ("timm", "vit_so400m_patch14_siglip_378.webli_ft_in1k", "crop mode 'squash'"),
        (None, "deit_tiny_patch16_224", "valid dictionary or instance"),
    ],
)
def test_a_word_that_means_nothing_here(transform: object, name: str, message: str):
    with pytest.raises(ValueError, match=message):
        model(transform, name)


def test_only_the_word_timm_imports_torch():
    code = (
        "import sys; from vitedit.config import ModelConfig;"
        "ModelConfig.model_validate({'name': 'x', 'checkpoint': 'w', 'transform': 'published'});"
        "sys.exit(bool({'torch', 'timm'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
