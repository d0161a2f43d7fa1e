"""What Python callers give, in every form that people use, and what is refused of it in words."""

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from tiny import TINY
from tool_place import pixels_of, ranked

import vitedit
from vitedit.config import TransformConfig
from vitedit.errors import ConfigError, ImageError, UnknownNameError, ViteditError
from vitedit.tool.checked import classes_of, editable, images_of, labels_of, patches_of

QUICK = {"max_steps": 1}
TRANSFORM = TransformConfig(size=48, resize=48, interpolation="bilinear", mean=(0, 0, 0), std=(1, 1, 1))


@pytest.fixture
def model(place):
    return vitedit.load_vit(TINY.name, checkpoint=place.weights, architecture=TINY.architecture)


@pytest.mark.parametrize("one", [3, "3", np.int64(3), torch.tensor(3), np.array(3)])
def test_one_label(one):
    assert [int(label) for label in labels_of(one)] == [3]


@pytest.mark.parametrize("some", [[1, 2], (1, 2), np.array([1, 2]), torch.tensor([1, 2]), iter(["1", "2"])])
def test_several_labels(some):
    assert [int(label) for label in labels_of(some)] == [1, 2]


@pytest.mark.parametrize("wrong", [None, 1.5, {1, 2}, {1: 2}, [1, None], torch.tensor(1.5), b"1"])
def test_what_is_no_label(wrong):
    with pytest.raises(UnknownNameError, match="^labels?[ :]"):
        labels_of(wrong)


def test_several_images(place):
    files = sorted(place.world(0).glob("*.png"))[:2]
    pixels = torch.cat([pixels_of(file) for file in files])
    for some in (files, tuple(map(str, files)), np.array([str(file) for file in files]), iter(files)):
        assert [str(one) for one in images_of(some)] == [str(file) for file in files]
    assert len(images_of(pixels)) == 2 and len(images_of(pixels[0])) == 1


@pytest.mark.parametrize("wrong", [None, b"x", {"a.png"}, [None], np.zeros((4, 4, 3)), [["a.png"]], 3])
def test_what_is_no_image(wrong):
    with pytest.raises(ImageError, match="^images?[ :]"):
        images_of(wrong)


def changed(model, **values):
    for name, value in values.items():
        setattr(model, name, value)
    return model


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda m: {"labels": [1, 2]}, "2 labels for 1 images"),
        (lambda m: {"images": torch.zeros(3, 24, 24, dtype=torch.uint8)}, "finite floating-point numbers"),
        (lambda m: {"images": torch.full((3, 24, 24), torch.nan)}, "finite floating-point numbers"),
        (lambda m: {"classes": ["a", "b"]}, "classes: 2 names for a model of 5 classes"),
        (
            lambda m: {"method": "rome", "artifacts": {"covariance": "x.safetensors"}},
            "x.safetensors: no such file",
        ),
        (lambda m: {"model": m.train()}, "training mode"),
        (lambda m: {"model": m.half()}, "the model is in torch.float16"),
        (lambda m: {"model": changed(m, num_classes=0)}, "cannot be edited: it has no classification head"),
        (
            lambda m: {"transform": TRANSFORM},
            "cannot be edited: it takes images of 24 x 24 pixels",
        ),
    ],
)
def test_mistakes_are_answered_in_words_before_any_edit(place, model, given, message, monkeypatch):
    monkeypatch.setattr("vitedit.tool.choosing.make", lambda *_: pytest.fail("it was edited"))
    usual = {"model": model, "images": place.image, "labels": place.label, "method": "ft", "setting": QUICK}
    with pytest.raises(ViteditError, match=message):
        vitedit.edit(**usual | given(model))


@pytest.mark.parametrize("wrong", ["classes.txt", range(5), {"a": 1}])
def test_what_are_no_classes(wrong):
    with pytest.raises(ConfigError, match="classes: give a list of names"):
        classes_of(wrong, 5)


@pytest.mark.parametrize("wrong", ["fix.safetensors", ["fix.safetensors"], None, {1}])
def test_what_are_no_patches(wrong):
    with pytest.raises(ConfigError, match="after: give patches"):
        patches_of(wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("vit_tiny_patch16_224", "the model is a str; give one from `load_vit`"),
        (timm.create_model("resnet18").eval(), "cannot be edited: it is timm's ResNet"),
        (timm.create_model("deit_tiny_distilled_patch16_224"), "with a distillation token"),
    ],
    ids=["name", "resnet", "distilled"],
)
def test_what_is_no_model_that_can_be_edited(wrong, message):
    with pytest.raises(ConfigError, match=message):
        editable(wrong, None)


def test_patches_of_one_base_model_are_no_chain(place, model):
    weak = {"method": "ft", "setting": QUICK, "keep_failed": True}
    image = place.world(1) / "00.png"
    first = vitedit.edit(model, Image.open(place.image), place.label, **weak)
    second = vitedit.edit(model, image, ranked(model, image)[1], **weak)
    with first.applied(model):
        label = ranked(model, image)[1]
    assert vitedit.edit(model, image, label, after=first, **weak).base == first.edited
    with pytest.raises(ViteditError, match="patch 1 was not made on top of patch 0"):
        vitedit.edit(model, image, label, after=[first, second], **weak)


def test_a_name_that_timm_lacks():
    with pytest.raises(
        UnknownNameError, match=r"^'vit_tiny_patch16_225' is no model of timm\. Similar: vit_"
    ):
        vitedit.load_vit("vit_tiny_patch16_225")
    with pytest.raises(ConfigError, match="names a place"):
        vitedit.load_vit("hf-hub:timm/vit_tiny_patch16_224", checkpoint=__file__, transform=TRANSFORM)
