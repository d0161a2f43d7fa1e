"""`vitedit fetch` against a local server: what is downloaded, what is verified, what a person is told."""

import io
import zipfile
from pathlib import Path

import pytest
import yaml
from local_server import serving

from vitedit import cli
from vitedit.config_files import load
from vitedit.data import download
from vitedit.stages.fetch import fetch

ROOT = Path(__file__).parents[2]
CONFIG = [ROOT / "config/config.yaml", ROOT / "config/paper.yaml"]


def _zip(*names):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            archive.writestr(name, b"never decoded")
    return content.getvalue()


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty project whose run needs one set from a server, one by hand, one to be unpacked, and weights of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "WAITS", ())
    with serving() as site:
        site.files["/r.zip"] = _zip("r/n1/a.jpg", "r/n1/b.JPEG", "r/n2/c.png", "r/readme.txt")
        site.files["/pug.tar.gz"] = b"packed"
        common = {"page": "p", "layout": "one folder a class", "licence": "CC0"}
        sets = {
            "r": {
                "title": "R",
                "path": "paper/r.zip",
                "address": f"{site.address}/r.zip",
                "images": 3,
                "classes": 2,
            },
            "own": {"title": "Own", "path": "paper/own", "images": 2, "manual": "Ask its owner."},
            "packed": {
                "title": "Packed",
                "path": "paper/pug",
                "address": f"{site.address}/pug.tar.gz",
                "archive": "paper/pug.tar.gz",
                "images": "unknown",
                "manual": "Unpack it there.",
            },
        }
        site.catalogue = tmp_path / "datasets.yaml"
        site.catalogue.write_text(
            yaml.safe_dump({"datasets": {name: common | one for name, one in sets.items()}})
        )
        over = tmp_path / "over.yaml"
        folder = "{path: PATH, folder: '', labels: folder, csv: null}"
        images = {name: folder.replace("PATH", "paper/own") for name in ("train", "natural")}
        images |= {name: folder.replace("PATH", "paper/r.zip") for name in ("val", "sketch", "renditions")}
        images |= {name: folder.replace("PATH", "paper/pug") for name in ("stage_light", "oil_painting")}
        listed = "".join(f"  {name}: {one}\n" for name, one in images.items())
        over.write_text(
            f"images:\n{listed}classes: null\nbackbones: [base]\nlocality: {{sources: [val], published: null}}\n"
            "benchmark: {rule: errors, stronger: null, images: natural, styles: [stage_light]}\n"
            "models: {base: {checkpoint: weights.pth}}\n"
        )
        Path("weights.pth").touch()
        site.config = [CONFIG[0], over]
        yield site


def _images(folder, *names):
    for name in names:
        (Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
        (Path(folder) / name).write_bytes(b"never decoded")


def _fetch(place, capsys, *words):
    code = cli.main(
        ["fetch", "--config", *map(str, place.config), "--catalogue", str(place.catalogue), *words]
    )
    return code, capsys.readouterr().err


def test_what_can_be_downloaded_is_and_the_rest_is_said_with_exit_code_2(place, capsys):
    code, text = _fetch(place, capsys)
    assert code == 2 and Path("paper/r.zip").read_bytes() == place.files["/r.zip"]
    assert Path("paper/pug.tar.gz").read_bytes() == b"packed" and not Path("paper/pug").exists()
    assert "2 to be put in place" in text and "Ask its owner." in text and "to paper/own" in text
    assert "Unpack it there." in text and "R, size" not in text, "what is there is not asked for"
    assert yaml.safe_load(Path("paper/datasets.lock.yaml").read_text()).keys() == {"r", "packed"}


def test_a_second_call_has_nothing_to_do(place, capsys):
    _images("paper/own", "n1/a.jpg", "n2/b.jpg")
    _fetch(place, capsys)
    _images("paper/pug", "x/1.png")
    Path("paper/pug.tar.gz").unlink()
    del place.requests[:]
    code, text = _fetch(place, capsys)
    assert code == 0 and place.requests == [] and "files and folders are in place" in text
    assert "r: 3 images" in text


def test_a_changed_file_is_refused(place, capsys):
    _fetch(place, capsys)
    with Path("paper/r.zip").open("ab") as file:
        file.write(b" ")
    code, text = _fetch(place, capsys, "--dataset", "r")
    assert code == 2 and "paper/r.zip has the sha256" in text and "paper/datasets.lock.yaml" in text


def test_too_few_images_or_classes_are_an_error(place, capsys):
    _images("paper/own", "n1/a.jpg")
    code, text = _fetch(place, capsys, "--dataset", "own")
    assert code == 2 and "own: 1 images at paper/own, where at least 2 belong" in text
    place.files["/r.zip"] = _zip("r/n1/a.jpg", "r/n1/b.jpg", "r/n1/c.jpg")
    code, text = _fetch(place, capsys, "--dataset", "r")
    assert code == 2 and "r: 1 folders at paper/r.zip, where at least 2 belong" in text


def test_one_dead_link_does_not_keep_the_others_from_coming(place, capsys):
    content = place.files.pop("/pug.tar.gz")
    code, text = _fetch(place, capsys, "--dataset", "packed", "r")
    assert code == 2 and "404" in text and Path("paper/r.zip").exists()
    place.files["/pug.tar.gz"] = content
    place.files.pop("/r.zip")
    Path("paper/r.zip").unlink()
    code, text = _fetch(place, capsys, "--dataset", "r")
    assert code == 2 and "404" in text and "put in place" not in text, "said once"


def test_names_choose_and_unknown_names_are_answered_with_the_known(place, capsys):
    code, _ = _fetch(place, capsys, "--dataset", "r")
    assert code == 0 and [path for path, _ in place.requests] == ["/r.zip"]
    code, text = _fetch(place, capsys, "--dataset", "imagnet")
    assert code == 2 and "no data set 'imagnet'. Data sets: own, packed, r." in text


def test_files_that_no_catalogue_knows_are_said_too(place, capsys):
    Path("weights.pth").unlink()
    code, text = _fetch(place, capsys)
    assert code == 2 and "weights.pth: yours to bring" in text


def test_the_embedded_run_is_sent_to_dvc(place):
    config = load(CONFIG[0])
    with pytest.raises(ValueError, match="dvc pull"):
        fetch(config, catalogue=place.catalogue)
    assert place.requests == []
