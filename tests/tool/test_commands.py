"""The commands from end to end: a model is edited, the patch applied and reverted, and timm loads what is written."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from patches import bits
from safetensors.torch import load_file
from tiny import TINY
from tool_place import ranked

from vitedit import cli
from vitedit.model.patch import Patch
from vitedit.tool.arguments import COMMANDS
from vitedit.tool.flags import gather
from vitedit.tool.models import load_vit

ROOT = Path(__file__).parents[2]


def test_a_model_is_fixed_in_one_command_and_undone_in_another(place, run):
    patch, edited, original = (place.folder / f"{name}.safetensors" for name in ("fix", "edited", "original"))
    before = bits(load_file(place.weights))
    code, said, _ = run(*place.edit("--neighbours", str(place.world(0)), "--locality", str(place.world(1))))
    assert code == 0
    assert (
        f"{place.predicted} (" in said and "1 of 1 samples right" in said and "of 11 neighbours right" in said
    )
    assert "of 12 images keep" in said and "blocks.1.mlp.fc1.weight" in said and "stand-in" not in said
    assert bits(load_file(place.weights)) == before, "the model's file stays"
    assert run("apply", str(patch), *place.model(), "-o", str(edited))[0] == 0
    assert run("revert", str(patch), "--model", str(edited), "-o", str(original))[0] == 0, (
        "it says its architecture"
    )
    assert bits(load_file(original)) == before
    plain = timm.create_model(TINY.name, checkpoint_path=str(edited), **TINY.architecture).eval()
    assert ranked(plain, place.image)[0] == place.label


def test_timm_loads_the_edited_checkpoint_with_equal_logits(place, run, images):
    patch, edited = place.folder / "fix.safetensors", place.folder / "edited.safetensors"
    run(*place.edit())
    run("apply", str(patch), *place.model(), "-o", str(edited))
    plain = timm.create_model(TINY.name, checkpoint_path=str(edited), **TINY.architecture).eval()
    vit = load_vit(TINY.name, checkpoint=place.weights, architecture=TINY.architecture)
    with Patch.load(patch).applied(vit), torch.no_grad():
        assert torch.equal(plain(images), vit(images))


def test_one_command_writes_patch_and_edited_weights(place, run):
    edited, again = place.folder / "edited.safetensors", place.folder / "again.safetensors"
    code, said, _ = run(*place.edit("--edited", str(edited)))
    assert code == 0 and f"{edited}: the edited model" in said
    run("apply", str(place.folder / "fix.safetensors"), *place.model(), "-o", str(again))
    assert bits(load_file(edited)) == bits(load_file(again))
    code, _, complaint = run(*place.edit("--edited", str(edited), output="other.safetensors"))
    assert code == 2 and f"{edited} exists" in complaint and not (place.folder / "other.safetensors").exists()


def test_without_a_locality_set_a_stand_in_is_named(place, run):
    code, said, _ = run(*place.edit())
    assert code == 0 and re.search(
        r"of 48 images keep their prediction, [\d.]+% \(a stand-in: rendered", said
    )
    assert "not measured; give images of the same failure" in said
    assert Patch.load(place.folder / "fix.safetensors").about.measured.stand_in


def test_inspect_says_what_is_in_a_patch(place, run):
    run(*place.edit())
    code, said, _ = run("inspect", str(place.folder / "fix.safetensors"))
    patch = Patch.load(place.folder / "fix.safetensors")
    for words in (
        patch.base,
        patch.edited,
        "00.png",
        patch.about.date,
        "learning_rate 0.003",
        "vitedit 0.1.0",
    ):
        assert words in said
    assert code == 0 and str(place.folder) not in said, "names without folders"


def test_compare_shows_both_and_what_they_share(place, run):
    names = ["fix.safetensors", "other.safetensors"]
    for name, block, rate in zip(names, "12", ("0.003", "0.002"), strict=True):
        words = place.edit("--blocks", block, "3", output=name)
        words[words.index("learning_rate=0.003")] = f"learning_rate={rate}"
        assert run(*words)[0] == 0
    code, said, _ = run("compare", *(str(place.folder / name) for name in names))
    shared = next(line.split() for line in said.splitlines() if line.startswith("blocks.3.mlp.fc1"))
    own = next(line.split() for line in said.splitlines() if line.startswith("blocks.1.mlp.fc1"))
    assert code == 0 and int(shared[3]) > 0 and int(shared[4]) > 0 and own[2:] == ["0", "0", "0"]
    assert "they disagree about" in said


def test_auto_keeps_the_edit_that_its_table_points_at(place, run):
    words = place.edit("--sparsity", "auto", "--min-locality", "0", "--neighbours", str(place.world(1)))
    words[words.index("ft")] = "random_mask"
    code, said, complaint = run(*words)
    assert code == 0, complaint
    rows = [line.split() for line in said.splitlines()[1:7]]
    chosen = next(row for row in rows if row[0] == "->")
    assert Patch.load(place.folder / "fix.safetensors").about.setting["sparsity"] == float(chosen[1])
    general = [float(row[-3].rstrip("%")) for row in rows if row[-4] == "100%"]
    assert float(chosen[3].rstrip("%")) == max(general)


def test_auto_that_finds_nothing_writes_nothing_unless_asked(place, run):
    words = place.edit("--sparsity", "auto", "--min-locality", "1.0", "--locality", str(place.world(1)))
    words[words.index("ft")], words[words.index("max_steps=60")] = "random_mask", "max_steps=1"
    code, said, complaint = run(*words)
    assert code == 2 and not said and "no sparsity gives an edit" in complaint and "0.99" in complaint
    assert not (place.folder / "fix.safetensors").exists()
    assert run(*words, "--anyway")[0] == 0 and (place.folder / "fix.safetensors").exists()


def test_a_bound_that_is_not_kept_writes_nothing_unless_asked(place, run):
    words = place.edit("--min-locality", "1", "--locality", str(place.world(1)))
    words[words.index("learning_rate=0.003")] = "learning_rate=0.1"
    code, _, complaint = run(*words)
    assert (
        code == 2
        and "keeps less than 100.0%" in complaint
        and not (place.folder / "fix.safetensors").exists()
    )
    assert run(*words, "--anyway")[0] == 0


def test_an_edit_that_fails_writes_nothing_unless_asked(place, run):
    words = place.edit("--set", "max_steps=1", "learning_rate=1e-7", quick=False) + ["--method", "ft"]
    code, _, complaint = run(*words)
    assert (
        code == 2
        and "1 of 1 sample (ft, 1 step). Raise the step size or the steps (`--set learning_rate=... max_steps=...`). N"
        in complaint
        and not (place.folder / "fix.safetensors").exists()
    )
    assert run(*words, "--anyway")[0] == 0


def test_no_image_counts_twice(place, run):
    code, said, _ = run(
        *place.edit("--neighbours", str(place.world(0)), "--locality", str(place.folder / "world"))
    )
    assert code == 0 and "of 11 neighbours" in said and "of 48 images keep their prediction" in said
    assert "--neighbours: 1 image is left out: it is a sample too." in said
    assert "--locality: 12 images are left out: each is a sample or a neighbour too." in said
    assert f" kB. {place.weights} stays as it is." in said


def test_several_samples_of_one_failure(place, run):
    other = place.world(1) / "03.png"
    code, said, _ = run(*place.edit("--image", str(other)))
    assert code == 0 and "of 2 samples right" in said and "03.png" in said


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example_and_leaves_torch_alone(command):
    program = (
        "import sys\nfrom vitedit.cli import main\n"
        f"try:\n    main(['{command}', '--help'])\nexcept SystemExit: pass\n"
        "assert 'torch' not in sys.modules and 'timm' not in sys.modules and 'pandas' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.search(rf"^examples?:\n  vitedit {command} ", done.stdout, re.M)


def test_a_patch_after_the_architecture_is_no_part_of_it(place, run):
    assert run(*place.edit())[0] == 0
    patch, edited = (str(place.folder / f"{name}.safetensors") for name in ("fix", "edited"))
    assert run("apply", *place.model(), patch, "-o", edited)[0] == 0
    assert run("revert", "--model", edited, *place.model()[2:], patch, "-o", f"{edited}.safetensors")[0] == 0
    words = ["apply", "--architecture", "NAME", "a=1", "x", "y", "-o", "z", "--", "v"]
    assert gather(words) == ["apply", "x", "y", "-o", "z", "--architecture", "NAME", "a=1", "--", "v"]


def written(text):
    """Commands of the tool that a document shows, as words."""
    shown = re.findall(rf"^vitedit (?:{'|'.join(COMMANDS)}) .*$", text, re.M)
    inline = re.findall(rf"`(vitedit (?:{'|'.join(COMMANDS)}) [^`]*[.](?:safetensors|html))`", text)
    return [line.replace(" ...", "").split()[1:] for line in [*shown, *inline]]


def test_every_command_that_is_shown_is_understood():
    texts = [(ROOT / name).read_text() for name in ("README.md", "docs/edit-your-model.md")]
    shown = [
        *(one.split()[1:] for command in COMMANDS.values() for one in (command.example, *command.more)),
        *sum(map(written, texts), []),
    ]
    assert len(shown) > len(COMMANDS) + 6
    for words in shown:
        assert cli._parser(words).parse_args(words)
