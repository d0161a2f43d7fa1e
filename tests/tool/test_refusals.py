"""Every mistake is answered in words, with exit code 2, before anything is written."""

import pytest
from safetensors.torch import load_file, save_file
from tiny import TINY
from tool_place import ARCHITECTURE

SETTING = "learning_rate=0.003"


def refused(run, words, *messages):
    code, said, complaint = run(*words)
    assert code == 2 and not said and "Traceback" not in complaint
    for message in messages:
        assert message in complaint


def replaced(words, old, *new):
    at = words.index(old)
    return [*words[:at], *new, *words[at + 1 :]]


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("5", "label 5: the model has the classes 0 to 4"),
        (
            "volleyball",
            "give a class index, or their names: `--classes FILE`, one a line; from Python `classes=[...]`.",
        ),
    ],
)
def test_a_label_that_the_model_lacks(place, run, label, message):
    refused(run, replaced(place.edit(), str(place.label), label), message)


def test_a_label_by_name_and_one_that_is_no_name(place, run):
    classes = place.folder / "classes.txt"
    names = ["ring", "disc", "star", "heart", "cross"]
    classes.write_text("\n".join(names))
    words = place.edit("--classes", str(classes))
    refused(
        run,
        replaced(words, str(place.label), "disk"),
        "label disk: no class of this model. Give its index (0 to 4) or name, as 0 or 'ring'; similar: disc.",
    )
    assert run(*replaced(words, str(place.label), names[place.label]))[0] == 0
    classes.write_text("ring\ndisc")
    refused(run, place.edit("--classes", str(classes), "--force"), "2 names for a model of 5 classes")


def test_a_label_that_is_predicted_already(place, run):
    words = replaced(place.edit(), str(place.label), str(place.predicted))
    refused(run, words, f"the model already takes 00.png for {place.predicted}", "nothing to fix")


def test_an_image_that_cannot_be_read(place, run):
    (place.folder / "text.jpg").write_text("no image")
    said = {
        "text.jpg": "no readable image (no image of a format that is read).",
        "absent.jpg": "no such file.",
    }
    for name, message in said.items():
        path = str(place.folder / name)
        refused(run, replaced(place.edit(), str(place.image), path), f"{path}: {message}")


def test_the_same_image_twice(place, run):
    refused(run, place.edit("--image", str(place.image)), "the same image is given twice")


def test_an_output_that_exists(place, run):
    output = place.folder / "fix.safetensors"
    output.write_text("mine")
    refused(run, place.edit(), f"{output} exists; --force replaces it")
    assert output.read_text() == "mine"
    assert run(*place.edit("--force"))[0] == 0 and output.stat().st_size > 100


def test_an_output_in_place_of_the_model(place, run):
    before = place.weights.read_bytes()
    refused(run, place.edit("--force", output=place.weights.name), "must be different files")
    refused(run, place.edit("--force", "--edited", str(place.weights)), "must be different files")
    refused(run, place.edit("--edited", str(place.folder / "fix.safetensors")), "must be different files")
    assert place.weights.read_bytes() == before


def test_an_output_without_a_folder(place, run):
    refused(run, place.edit(output="absent/fix.safetensors"), "there is no folder", "make it first")
    refused(run, place.edit(output="world"), "is a folder; name a file")


@pytest.mark.parametrize("method", ["hypernet", "t_patcher", "rome", "x_edit", "ke", "mend", "refine_heads"])
def test_a_method_that_needs_training(place, run, method):
    words = replaced(place.edit(), "ft", method)
    flag = "--hypernet FILE" if method == "hypernet" else "--artifact"
    refused(run, words, f"{method} needs training", flag, "--method ")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            ["--set", "learning_rte=1"],
            "--set: ft has no 'learning_rte'. Settings: learning_rate, max_steps, stop_loss; similar: learning_rate.",
        ),
        (["--set", "reference=true"], "--set: ft has no 'reference'. Settings: "),
        (["--set", "learning_rate"], "--set takes NAME=VALUE"),
        (["--sparsity", "0.9"], "ft has no sparsity; leave it out, or take a method that has one, as spt."),
        (["--sparsity", "auto"], "--sparsity: ft has no sparsity"),
        (["--min-locality", "98"], "--min-locality 98.0: a share of images, from 0 to 1"),
        (["--blocks", "4"], "--blocks 4: the model has the blocks 0 to 3"),
        (["--neighbours", "absent"], "--neighbours absent: no such folder or archive."),
        (["--locality", "absent"], "--locality absent: no such folder or archive."),
        (["--hypernet", "h.safetensors"], "ft has no use for hypernet"),
    ],
)
def test_impossible_wishes(place, run, more, message):
    refused(run, place.edit(*more), message)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("learning_rate=-1", "ft.learning_rate: Input should be greater than 0"),
        ("learning_rate=fast", "ft.learning_rate"),
        ("max_steps=0", "max_steps: Input should be greater"),
        ("stop_loss=true", "stop_loss: Input should be a valid number"),
    ],
)
def test_values_that_no_hyper_parameter_has(place, run, value, message):
    refused(run, [*place.edit(quick=False), "--method", "ft", "--set", value], message)


def test_a_method_that_there_is_not(place, run):
    refused(run, replaced(place.edit(), "ft", "magic"), "no method 'magic'. Methods: hypernet, ft,")


def test_sparsities_that_are_none(place, run):
    words = replaced(place.edit(), "ft", "random_mask")
    for value in ("much", "95", "1", "nan"):
        message = f"--sparsity {value}: a share, from 0 to below 1, as 0.95, or `auto`"
        refused(run, [*words, "--sparsity", value], message)


def test_folders_that_hold_nothing_to_measure_on(place, run):
    empty, alone = place.folder / "empty", place.folder / "alone"
    for folder in (empty, alone):
        folder.mkdir()
    refused(run, place.edit("--locality", str(empty)), f"--locality {empty}: no images in {empty}.")
    image = str(place.image)
    refused(run, place.edit("--neighbours", image), f"--neighbours {image}: {image} is no readable folder")
    (empty / "text.png").write_text("no image")
    refused(
        run, place.edit("--locality", str(empty)), "text.png is missing or no readable image (no image of"
    )
    (alone / "again.png").write_bytes(place.image.read_bytes())
    only = f"--neighbours {alone}: no images but those that the edit is made from.\n"
    refused(run, place.edit("--neighbours", str(alone)), only)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (["absent.safetensors", "--architecture", *ARCHITECTURE], "absent.safetensors: no such"),
        (["vit_tinny_patch16_224"], "no such file, and no model of timm. Similar: vit_tiny_patch16_224"),
        (["resnet50"], "cannot be edited"),
    ],
)
def test_models_that_there_are_not(place, run, model, message, monkeypatch):
    words = place.edit()
    start, stop = words.index("--model") + 1, words.index("--image")
    refused(run, [*words[:start], *model, *words[stop:]], message)


def test_a_file_that_does_not_say_its_architecture(place, run):
    words = place.edit()
    start, stop = words.index("--architecture"), words.index("--image")
    refused(run, [*words[:start], *words[stop:]], "does not say which architecture", "--architecture NAME")
    refused(run, [*words[:start], "--architecture", "vit_tinny", *words[stop:]], "vit_tinny")
    refused(run, [*words[:start], "--architecture", "vit_tiny_patch16_224", *words[stop:]], "tensors differ")
    known = [f"{key}={value}" for key, value in TINY.architecture.items() if key != "num_classes"]
    words = [*words[:start], "--architecture", TINY.name, *known, *words[stop:]]
    refused(run, words, f"The file has 5 classes: set `--architecture {TINY.name} num_classes=...` to that.")


def test_a_hub_that_is_out_of_reach(place, run, monkeypatch):
    def unreachable(*words, **more):
        raise ConnectionError("no route to host\nlong trace")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", unreachable)
    words = place.edit()
    start, stop = words.index("--model") + 1, words.index("--image")
    messages = (
        "timm/deit_tiny_patch16_224.fb_in1k: no model.safetensors from the hub (no route to host)",
        "--model FILE",
    )
    refused(run, [*words[:start], "deit_tiny_patch16_224", *words[stop:]], *messages)


def test_a_patch_of_another_model(place, run):
    patch, other = str(place.folder / "fix.safetensors"), place.folder / "other.safetensors"
    run(*place.edit())
    weights = load_file(place.weights)
    weights["norm.bias"][0] += 1.0
    save_file(weights, other)
    output = ["-o", str(place.folder / "out.safetensors")]
    refused(run, ["apply", patch, "--model", str(other), *output], "but this model's is", "the very weights")
    refused(
        run, ["revert", patch, "--model", str(other), *output], "can be reverted from the model with checksum"
    )
    refused(run, ["revert", patch, "--model", str(place.weights), *output], "nothing to revert")
    assert run("apply", patch, "--model", str(place.weights), *output)[0] == 0
    refused(run, ["apply", patch, "--model", output[1], *output, "--force"], "already applied")
    refused(
        run,
        [
            "report",
            patch,
            "--model",
            str(other),
            "--locality",
            str(place.world(1)),
            "-o",
            str(place.folder / "x.html"),
        ],
        "can be applied to",
    )


def test_what_is_no_patch(place, run):
    for command in (["inspect", str(place.weights)], ["compare", str(place.weights), str(place.weights)]):
        refused(run, command, "no patch")
    refused(run, ["inspect", "absent.safetensors"], "absent.safetensors: no such file")
