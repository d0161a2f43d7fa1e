"""`import vitedit`: what its examples say is true, and what it refuses."""

import doctest
import subprocess
import sys

import pytest
import timm
import torch
from patches import bits
from PIL import Image
from tiny import TINY
from tool_place import pixels_of, several_failures

import vitedit
from vitedit.errors import ArtifactError, ConfigError, ImageError, UnknownNameError, ViteditError
from vitedit.model import patch as patch_module
from vitedit.tool import library, models

QUICK = {"learning_rate": 0.003, "max_steps": 60, "stop_loss": 0.05}


@pytest.fixture
def model(place):
    return vitedit.load_vit(TINY.name, checkpoint=place.weights, architecture=TINY.architecture)


@pytest.mark.parametrize("module", [models, library, patch_module], ids=lambda module: module.__name__)
def test_the_examples_are_true(module, place, model):
    pixels, (failures, labels) = pixels_of(place.image), several_failures(place)
    names = {
        "failures": failures,
        "labels": labels,
        "vitedit": vitedit,
        "model": model,
        "pixels": pixels,
        "label": place.label,
        "weights": place.weights,
        "architecture": TINY.architecture,
        "folder": place.folder,
        "patch": vitedit.edit(model, pixels, place.label, method="ft", setting=QUICK),
    }
    result = doctest.testmod(module, extraglobs=names)
    assert result.attempted > 1 and not result.failed


def test_importing_the_package_leaves_torch_alone():
    program = "import sys, vitedit; dir(vitedit); assert 'torch' not in sys.modules; vitedit.Patch; 'torch' in sys.modules or 1/0"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with pytest.raises(AttributeError, match="no attribute 'eidt'"):
        _ = vitedit.eidt


def test_files_pictures_and_tensors_give_the_same_edit(place, model):
    before = bits(model.state_dict())
    given = (place.image, str(place.image), Image.open(place.image), pixels_of(place.image)[0], [place.image])
    patches = [vitedit.edit(model, one, place.label, method="ft", setting=QUICK) for one in given]
    assert len({patch.edited for patch in patches}) == 1
    assert bits(model.state_dict()) == before
    assert [patch.about.images[0].name for patch in patches] == [
        "00.png",
        "00.png",
        "picture 0",
        "tensor 0",
        "00.png",
    ]


def test_a_model_that_timm_made_is_edited_as_it_is(place, model):
    plain = timm.create_model(TINY.name, **TINY.architecture).eval()
    plain.load_state_dict(model.state_dict())
    patch = vitedit.edit(plain, place.image, place.label, method="ft", setting=QUICK)
    assert patch.edited == vitedit.edit(model, place.image, place.label, method="ft", setting=QUICK).edited
    assert patch.about.model.name == "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
    with patch.applied(plain), torch.no_grad():
        assert plain(pixels_of(place.image)).argmax() == place.label


def test_rates_are_measured_on_folders(place, model):
    patch = vitedit.edit(
        model,
        place.image,
        place.label,
        method="ft",
        setting=QUICK,
        neighbours=place.world(0),
        locality=place.world(1),
    )
    made = patch.about.measured
    assert (made.neighbours, made.locality_images, made.stand_in) == (11, 12, False)
    files = sorted(place.world(1).glob("*.png"))
    seen = torch.cat([pixels_of(file) for file in files])
    with torch.no_grad():
        before = model(seen).argmax(-1)
        with patch.applied(model):
            assert made.locality == pytest.approx(float((model(seen).argmax(-1) == before).float().mean()))


def test_a_model_of_a_thousand_classes_knows_imagenet_s_names(place):
    torch.manual_seed(0)
    model = timm.create_model(TINY.name, **TINY.architecture | {"num_classes": 1000}).eval()
    patch = vitedit.edit(model, place.image, "volleyball", method="ft", setting=QUICK, keep_failed=True)
    (record,) = patch.about.images
    assert (record.label, record.class_name) == (890, "volleyball")
    with pytest.raises(UnknownNameError, match="label football: no class of this model"):
        vitedit.edit(model, place.image, "football")
    with pytest.raises(ArtifactError, match=r"^absent.pth: no such file\.$"):
        vitedit.load_vit(TINY.name, checkpoint="absent.pth", architecture=TINY.architecture)


def test_mistakes_are_answered_in_words(place, model):
    with pytest.raises(UnknownNameError, match="label 9: the model has the classes 0 to 4"):
        vitedit.edit(model, place.image, 9)
    with pytest.raises(ConfigError, match="there is nothing to fix"):
        vitedit.edit(model, place.image, place.predicted)
    with pytest.raises(ConfigError, match="2 labels for 1 images; give one for each, or one for all"):
        vitedit.edit(model, place.image, [1, 2])
    with pytest.raises(ImageError, match=r"shape \(3, 8, 8\)"):
        vitedit.edit(model, torch.zeros(3, 8, 8), place.label)
    with pytest.raises(ImageError, match="no image to edit from"):
        vitedit.edit(model, [], place.label)
    with pytest.raises(ConfigError, match="training mode"):
        vitedit.edit(timm.create_model(TINY.name, **TINY.architecture), place.image, place.label)
    weak = {"learning_rate": 1e-9, "max_steps": 1}
    with pytest.raises(ViteditError, match="still wrong about 1 of 1 sample .*`keep_failed=True` returns it"):
        vitedit.edit(model, place.image, place.label, method="ft", setting=weak)
    kept = vitedit.edit(model, place.image, place.label, method="ft", setting=weak, keep_failed=True)
    assert kept.about.measured.success == 0
