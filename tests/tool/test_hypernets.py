"""`vitedit train-hypernet`: one's own hypernetwork, interrupted and resumed, used and refused."""

import shutil

import pytest
from patches import bits
from safetensors.torch import load_file, save_file
from test_refusals import refused, replaced
from tiny import TINY
from tool_place import ARCHITECTURE

from vitedit.config import MetaTrainConfig, ModelConfig
from vitedit.model.patch import Patch, checksum
from vitedit.model.vit import build_vit
from vitedit.tensors import load_tensors
from vitedit.tool import hypernets
from vitedit.where.metatrain import MetaTraining

SMALL = ["inner_learning_rate=0.1", "inner_steps=2", "search_steps=2", "blocks=1", "pseudo.patches=1,2"]
EDIT = ["--set", "learning_rate=0.01", "stop_loss=0.05", "--sparsity", "0.5"]


@pytest.fixture
def words(place):
    """A short training on the tiny model, with a state every second iteration."""
    size = ["--iterations", "5", "--batch-size", "3", "--seed", "2"]
    return [
        "train-hypernet", *place.model(), "--images", str(place.folder / "world"), *size,
        "--set", *SMALL, "checkpoint_every=2", "-o", str(place.folder / "h.safetensors"),
    ]  # fmt: skip


def kill_at(monkeypatch, iteration):
    """Lets the next training be interrupted in an iteration."""
    search = MetaTraining.search_iteration

    def until(self, at, *batch):
        if at == iteration:
            raise KeyboardInterrupt
        search(self, at, *batch)

    monkeypatch.setattr(MetaTraining, "search_iteration", until)


def test_a_hypernetwork_is_trained_and_edits_its_model(place, run, words):
    code, said, complaint = run(*words)
    output = place.folder / "h.safetensors"
    assert code == 0, complaint
    assert "5 iterations" in said and "loss of the hypernetwork" in said and "from 60 images" in said
    assert "for mlp of the blocks 1 2 3" in said and "5 of 5" in complaint, "progress is in the log"
    code, said, complaint = run(*place.edit("--hypernet", str(output), *EDIT, quick=False))
    assert code == 0, complaint
    about = Patch.load(place.folder / "fix.safetensors").about
    assert about.method == "hypernet" and about.measured.success == 1
    tensors, meta = load_tensors(output)
    assert meta["base_model"] == checksum(load_file(place.weights)) and meta["stage"] == "train_hypernet"
    assert not (place.folder / "h.safetensors.state").exists()


def test_a_killed_training_goes_on_and_ends_with_the_same_bits(place, run, words, monkeypatch):
    output, whole = place.folder / "h.safetensors", place.folder / "whole.safetensors"
    assert run(*replaced(words, str(output), str(whole)))[0] == 0
    with monkeypatch.context() as patched:
        kill_at(patched, 3)
        assert run(*words)[0] == 130
    assert (place.folder / "h.safetensors.state").exists() and not output.exists()
    code, _, complaint = run(*words)
    assert code == 0 and "going on after 2 of 5" in complaint
    assert bits(load_file(output)) == bits(load_file(whole))
    with monkeypatch.context() as patched:
        patched.setattr(hypernets, "new_hypernet", lambda *more: pytest.fail("the output is whole"))
        refused(run, words, f"{output} exists; --force replaces it")


def test_a_state_of_another_training_is_refused_by_name(place, run, words, monkeypatch):
    with monkeypatch.context() as patched:
        kill_at(patched, 3)
        assert run(*words)[0] == 130
    state = place.folder / "h.safetensors.state"
    refused(
        run, replaced(words, "2", "7"), f"{state}: an unfinished training", "seed: made with 2", "--force"
    )
    refused(run, replaced(words, "3", "4"), "settings.batch_size: made with 3, configuration says 4")
    refused(run, [*words, "--blocks", "1"], "sites: made with")
    (place.world(0) / "00.png").unlink()
    refused(run, words, "images: made with")
    code, _, complaint = run(*words, "--force")
    assert code == 0 and "going on" not in complaint and not state.exists()


def test_a_hypernetwork_of_other_sites_or_of_another_model_is_refused(place, run, words):
    output, other = place.folder / "h.safetensors", place.folder / "other.safetensors"
    assert run(*words, "--part", "attn", "--blocks", "2", "3")[0] == 0
    edit = place.edit("--hypernet", str(output), *EDIT, quick=False)
    assert run(*edit)[0] == 0, "it says for which part and blocks it is"
    refused(
        run,
        [*edit, "--force", "--blocks", "1"],
        "h.safetensors: a hypernetwork for the sites blocks.2.attn.qkv.weight",
    )
    weights = load_file(place.weights)
    weights["norm.bias"][0] += 1.0
    save_file(weights, other)
    asked = [*replaced(edit, str(place.weights), str(other)), "--force"]
    refused(
        run, asked, "h.safetensors: a hypernetwork for the base model with checksum", "vitedit train-hypernet"
    )


def test_too_few_images(place, run, words):
    for image in sorted(place.world(0).iterdir())[5:]:
        image.unlink()
    asked = replaced(words, str(place.folder / "world"), str(place.world(0)))
    refused(run, asked, "5 images, but 6 are needed", "`--batch-size`")
    shutil.rmtree(place.world(0))
    refused(run, asked, "no such folder or archive")


def test_an_image_that_cannot_be_read(place, run, words):
    for image in place.world(1).iterdir():
        image.write_text("no image")
    refused(
        run, replaced(words, str(place.folder / "world"), str(place.world(1))), "no readable image", ".png"
    )


def test_a_model_without_a_cls_token(place, run, words):
    changed = {"class_token": False, "global_pool": "avg"}
    config = ModelConfig(**{**TINY.model_dump(), "architecture": {**(TINY.architecture or {}), **changed}})
    save_file(build_vit(config).state_dict(), place.weights)
    asked = replaced(words, ARCHITECTURE[-1], ARCHITECTURE[-1], "class_token=false", "global_pool=avg")
    refused(run, asked, "the model has no CLS token (its head pools tokens by 'avg')", "--method spt")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("pseudo.patches=3,8", "--set pseudo.patches: [3, 8] does not fit the model's 3 x 3 patches"),
        ("pseudo.patches=2,1", "`patches` and `scale` are [least, greatest]"),
        ("heads=5", "--set heads: 5 heads do not divide the backbone's width 24"),
        ("pseudo.scale=0.5,2", "--set pseudo.scale.1: Input should be less than or equal to 1, got 2"),
        ("iterations=0", "--set takes NAME=VALUE, each name once"),
        ("learning_rat=1", "--set: no setting 'learning_rat'. Settings: temperature,"),
        ("pseudo.images=x", "--set: no setting 'pseudo.images'"),
        ("replay.batch_size=3", "--set replay.steps: Field required"),
        ("learning_rate=1e30", "lower --set learning_rate"),
    ],
)
def test_settings_that_are_impossible(place, run, words, setting, message):
    words = [word for word in words if word != "pseudo.patches=1,2" or not setting.startswith("pseudo.pa")]
    refused(run, [*words, "--set", setting], message)


def test_the_model_is_never_the_output(place, run, words):
    before = place.weights.read_bytes()
    asked = replaced(words, str(place.folder / "h.safetensors"), str(place.weights))
    refused(run, [*asked, "--force"], "--model and --output must be different files")
    assert place.weights.read_bytes() == before


def test_the_defaults_are_the_paper_s_and_every_value_can_be_set():
    settings, paper = hypernets.settings_of([]), MetaTrainConfig(pseudo={"images": "images"})
    assert settings == paper.model_copy(update={"checkpoint_every": hypernets.STATE_EVERY})
    assert (settings.iterations, settings.batch_size, settings.inner_learning_rate) == (7000, 8, 1e-3)
    replayed = hypernets.settings_of(
        ["replay.steps=5", "tied=true", "pseudo.strategy=mixup", "pseudo.scale=0.5,1"]
    )
    assert replayed.replay.steps == 5 and replayed.tied and replayed.pseudo.scale == (0.5, 1)
