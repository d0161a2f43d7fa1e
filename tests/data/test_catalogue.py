"""The catalogue of data sets: strict, complete for the paper's run, light to import."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from vitedit.config_files import load
from vitedit.data.catalogue import (
    Dataset,
    absent,
    files_of,
    human,
    message,
    needed,
    owner_of,
    read_catalogue,
    with_weights,
)
from vitedit.errors import ConfigError

ROOT = Path(__file__).parents[2]
EMBEDDED, PAPER = ROOT / "config/config.yaml", ROOT / "config/paper.yaml"
SETS = read_catalogue(ROOT / "config/datasets.yaml")
ENTRY = {
    "title": "t",
    "path": "paper/t",
    "page": "p",
    "licence": "l",
    "layout": "y",
    "address": "https://a/t",
}


def _read(tmp_path, **sets):
    path = tmp_path / "datasets.yaml"
    path.write_text(yaml.safe_dump({"datasets": sets}))
    return read_catalogue(path)


def test_every_file_of_the_paper_run_is_in_the_catalogue():
    paths = needed(load(EMBEDDED, PAPER))
    assert len(paths) >= 11
    assert not [path for path in paths if owner_of(path, SETS) is None]


def test_what_the_catalogue_says_of_the_sets():
    assert (SETS["imagenet_train"].images, SETS["imagenet_val"].images) == (1281167, 50000)
    assert (SETS["imagenet_r"].images, SETS["imagenet_r"].classes) == (30000, 200)
    assert SETS["pug"].images == 88328 and SETS["oil_painting"].classes == 1000
    by_hand = [name for name, one in SETS.items() if not one.automatic]
    assert by_hand == ["imagenet_train", "imagenet_val", "pug"]
    model = load(EMBEDDED, PAPER).models
    assert {SETS[name].hub for name in ("vit_base", "vit_small", "vit_clip")} == {
        f"timm/{one.name}" for one in model.values()
    }


def test_the_paper_run_refuses_a_part_of_a_set_whose_size_is_known():
    sets, images = 0, load(EMBEDDED, PAPER).images
    for one in images.values():
        owner = SETS[owner_of(one.path if one.path.suffix else one.path / one.folder, SETS)]
        known = owner.images if isinstance(owner.images, int) else None
        assert one.min_images == known, one
        sets += known is not None
    assert sets == 6


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"adress": "https://a"}, ["sets.adress", "Extra inputs", "address, hub"]),
        ({"address": None}, ["needs `address`, `hub` or `manual`"]),
        ({"address": "a/b"}, ["address", "pattern"]),
        ({"hub": "timm/x"}, ["exclude each other"]),
        ({"archive": "paper/t.tar.gz"}, ["`manual` that says how to unpack"]),
        ({"size": 0}, ["size"]),
        ({"images": "many"}, ["images"]),
        ({"sha256": "1234"}, ["sha256"]),
    ],
)
def test_mistakes_are_named(tmp_path, changes, words):
    with pytest.raises(ConfigError) as error:
        _read(tmp_path, sets=ENTRY | changes)
    assert all(word in str(error.value) for word in [*words, "datasets.yaml"]), error.value


def test_other_mistakes(tmp_path):
    with pytest.raises(ConfigError, match="first and second cannot both lie at paper/t"):
        _read(tmp_path, first=ENTRY, second=ENTRY)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_catalogue(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="datasets"):
        (tmp_path / "list.yaml").write_text("- a\n")
        read_catalogue(tmp_path / "list.yaml")


def test_a_path_belongs_to_the_innermost_set_that_holds_it(tmp_path):
    sets = _read(tmp_path, outer=ENTRY, inner=ENTRY | {"path": "paper/t/in"})
    assert owner_of(Path("paper/t/in/x/1.jpg"), sets) == "inner"
    assert owner_of(Path("paper/t/other"), sets) == "outer" == owner_of(Path("paper/t"), sets)
    assert owner_of(Path("paper/t.zip"), sets) is None and owner_of(Path("paper"), sets) is None


def test_an_empty_folder_is_no_set(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sets = _read(tmp_path, one=ENTRY | {"images": 2}, table=ENTRY | {"path": "paper/t/map.json"})
    paths = [Path("paper/t"), Path("paper/t/map.json"), Path("paper/t/labels.csv")]
    (tmp_path / "paper/t").mkdir(parents=True)
    (tmp_path / "paper/t/map.json").touch()
    assert absent(paths, sets) == [paths[0], paths[2]]
    (tmp_path / "paper/t/x.JPEG").touch()
    assert absent(paths, sets) == [paths[2]]


def test_two_sets_in_one_folder_are_looked_for_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = load(EMBEDDED, PAPER)
    train = {name: one for name, one in config.images.items() if one.folder == "train"}
    assert train, "ImageNet's two sets share a folder"
    (tmp_path / "paper/imagenet/val").mkdir(parents=True)
    (path,) = files_of(config, [], train)
    assert path == Path("paper/imagenet/train") and not path.exists()


def test_the_message_names_size_licence_command_and_what_to_do_by_hand():
    missing = [SETS[name].path for name in ("imagenet_r", "pug", "imagenet_val")]
    text = message([*missing, Path("paper/own")], SETS, "snakemake fetch")
    loaded, by_hand = text.split("By hand:")
    assert "`snakemake fetch` downloads:" in loaded and "imagenet_r: ImageNet-R" in loaded
    assert "2.19 GB" in loaded and "licence: MIT" in loaded and "to paper/imagenet-r.tar" in loaded
    assert "image-net.org" in by_hand and "terms of access" in by_hand and "to paper/imagenet/val" in by_hand
    assert "downloads paper/PUG_IMAGENET.tar.gz" in by_hand and "CC BY-NC" in by_hand
    assert text.endswith("paper/own: yours to bring; the configuration says where they are expected.")


def test_weights_of_other_models_are_added_where_the_hub_is_asked(tmp_path):
    over = tmp_path / "over.yaml"
    over.write_text(
        "models: {base: {weights: hub, name: deit_tiny_patch16_224, checkpoint: photos/w/d.safetensors}}"
    )
    sets = with_weights(load(EMBEDDED, PAPER, over), SETS)
    (added,) = sets.keys() - SETS.keys()
    assert sets[added].hub == "deit_tiny_patch16_224" and sets[added].path == Path("photos/w/d.safetensors")
    assert with_weights(load(EMBEDDED, PAPER), SETS) == SETS


def test_sizes_for_people():
    assert [human(size) for size in (5, 88_200_000, 2_190_000_000)] == ["5 bytes", "88.2 MB", "2.19 GB"]
    assert "unknown" in str(Dataset(**ENTRY))


def test_the_snakefile_may_import_it():
    program = "import sys, vitedit.data.catalogue; assert not {'torch', 'timm', 'requests', 'pandas'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
