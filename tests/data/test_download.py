"""Downloads against a local server: resumed, restarted, refused; checksums recorded once and held ever after."""

import hashlib
import logging
import re
from collections import namedtuple

import numpy as np
import pytest
import yaml
from local_server import serving

from vitedit.data import download as module
from vitedit.data.catalogue import Dataset
from vitedit.data.download import CHUNK, download, download_weights, lock_file, verify
from vitedit.errors import ArtifactError

CONTENT = np.random.default_rng(0).bytes(3 * CHUNK + 12345)


@pytest.fixture
def site(monkeypatch):
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    with serving() as site:
        site.files["/set.zip"] = CONTENT
        yield site


@pytest.fixture
def fetch(site, tmp_path):
    """Downloads set.zip to a new folder, with three further attempts without waiting."""

    def fetch(check=lambda part: None):
        download(f"{site.address}/set.zip", tmp_path / "new/set.zip", check, waits=(0.0, 0.0, 0.0))

    fetch.target = tmp_path / "new/set.zip"
    fetch.part = tmp_path / "new/set.zip.part"
    return fetch


def _alone(file):
    return [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_whole_file_arrives_and_nothing_else_is_left(fetch, site):
    fetch()
    assert fetch.target.read_bytes() == CONTENT and _alone(fetch.target)
    assert site.requests == [("/set.zip", None)]


def test_an_interrupted_download_goes_on_at_what_arrived(fetch, site):
    site.break_after += [CHUNK + 1000, CHUNK + 7]
    fetch()
    assert fetch.target.read_bytes() == CONTENT and _alone(fetch.target)
    assert [asked for _, asked in site.requests] == [None, f"bytes={CHUNK}-", f"bytes={2 * CHUNK}-"]


def test_a_later_call_goes_on_too(fetch, site):
    site.break_after += [2 * CHUNK] + 3 * [0]
    with pytest.raises(
        ArtifactError, match=r"2\.1 MB are kept in .*set\.zip\.part; the same command goes on"
    ):
        fetch()
    assert not fetch.target.exists() and fetch.part.read_bytes() == CONTENT[: 2 * CHUNK]
    del site.requests[:]
    fetch()
    assert fetch.target.read_bytes() == CONTENT and site.requests == [("/set.zip", f"bytes={2 * CHUNK}-")]


def test_attempts_that_get_further_do_not_count(fetch, site):
    site.files["/set.zip"] = content = CONTENT * 2
    site.break_after += [CHUNK + 1] * 5
    fetch()
    assert fetch.target.read_bytes() == content and len(site.requests) == 6


@pytest.mark.parametrize("missing", ["ranges", "tags"])
def test_without_range_or_without_a_version_it_starts_anew(missing, fetch, site):
    setattr(site, missing, False)
    site.break_after += [2 * CHUNK, CHUNK]
    fetch()
    assert fetch.target.read_bytes() == CONTENT and len(site.requests) == 3
    assert [asked for _, asked in site.requests].count(None) == (3 if missing == "tags" else 1)


def test_a_file_that_changed_in_between_is_never_joined_to_the_old_beginning(fetch, site):
    site.break_after += [2 * CHUNK] + 3 * [0]
    with pytest.raises(ArtifactError):
        fetch()
    site.files["/set.zip"] = other = CONTENT[::-1]
    fetch()
    assert fetch.target.read_bytes() == other


def test_a_shorter_file_in_between_starts_anew(fetch, site):
    fetch.part.parent.mkdir()
    site.files["/set.zip"] = b"short"
    fetch.part.write_bytes(b"much longer than what is there now")
    module._stamp(fetch.part).write_text(site.tag(b"short"))
    fetch()
    assert fetch.target.read_bytes() == b"short"


def test_a_process_killed_before_the_renaming_needs_no_byte(fetch, site):
    fetch.part.parent.mkdir()
    fetch.part.write_bytes(CONTENT)
    module._stamp(fetch.part).write_text(site.tag(CONTENT))
    fetch()
    assert fetch.target.read_bytes() == CONTENT and _alone(fetch.target)
    assert site.requests == [("/set.zip", f"bytes={len(CONTENT)}-")]


def test_what_may_pass_is_tried_again_and_what_does_not_is_said_at_once(fetch, site):
    site.status += [503, 429, 500]
    fetch()
    assert fetch.target.read_bytes() == CONTENT
    fetch.target.unlink()
    del site.requests[:]
    site.status += [403]
    with pytest.raises(ArtifactError, match="403 Forbidden. Has the file moved"):
        fetch()
    assert len(site.requests) == 1


def test_a_server_out_of_reach_is_one_message(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(ArtifactError, match="0 bytes are kept"):
        download("http://127.0.0.1:9/set.zip", tmp_path / "set.zip", lambda part: None, waits=(0.0,))


def test_a_web_page_is_no_data_set(fetch, site):
    site.kind = "text/html; charset=utf-8"
    with pytest.raises(ArtifactError, match="web page came instead"):
        fetch()
    assert not fetch.target.exists() and not fetch.part.exists()


def test_a_full_disk_is_said_before_the_first_byte(fetch, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage(10**9, 10**9 - 2000, 2000))
    with pytest.raises(ArtifactError, match=r"3\.16 MB are to come, 2 kB are free"):
        fetch()


def test_progress_names_megabytes_rate_and_time_left(fetch, site, caplog):
    caplog.set_level(logging.INFO)
    site.break_after += [CHUNK + 5]
    fetch()
    assert re.search(r"set\.zip, MiB: 4 of 4, [\d.]+ a second, 0 s left", caplog.text)


SUM = hashlib.sha256(CONTENT).hexdigest()


def _set(place, **changes):
    entry = {"title": "a set", "path": place, "page": "p", "licence": "l", "layout": "y"}
    return Dataset(**(entry | {"address": "http://127.0.0.1/set.zip"} | changes))


def test_the_first_use_is_recorded_and_holds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "paper/deep").mkdir(parents=True)
    place = tmp_path.__class__("paper/deep/set.zip")
    place.write_bytes(CONTENT)
    one = _set(place)
    verify("first", one, place, place)
    record = yaml.safe_load((tmp_path / "paper/datasets.lock.yaml").read_text())["first"]
    assert (record["sha256"], record["bytes"], record["address"]) == (SUM, len(CONTENT), one.address)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", record["date"])
    verify("first", one, place, place)
    verify("second", one, place, place)
    assert yaml.safe_load(lock_file(place).read_text()).keys() == {"first", "second"}
    changed = bytearray(CONTENT)
    changed[-1] ^= 1
    place.write_bytes(changed)
    with pytest.raises(ArtifactError) as error:
        verify("first", one, place, place)
    message = str(error.value)
    assert SUM in message and hashlib.sha256(changed).hexdigest() in message and record["date"] in message
    assert "delete 'first' from paper/datasets.lock.yaml" in message


def test_the_sum_of_the_catalogue_counts_before_any_record(tmp_path):
    place = tmp_path / "set.zip"
    place.write_bytes(CONTENT)
    with pytest.raises(ArtifactError, match=f"{SUM}, but by the catalogue it is {'a' * 64}"):
        verify("set", _set(place, sha256="a" * 64), place, place)
    assert not lock_file(place).exists()
    verify("set", _set(place, sha256=SUM), place, place)


def test_a_file_that_changed_upstream_is_not_put_in_place(fetch, site):
    one = _set(fetch.target)

    def check(part):
        verify("set", one, part, fetch.target)

    fetch(check)
    fetch.target.unlink()
    site.files["/set.zip"] = b"another edition"
    with pytest.raises(ArtifactError, match="by .*datasets.lock.yaml of"):
        fetch(check)
    assert [path.name for path in fetch.target.parent.iterdir()] == ["datasets.lock.yaml"]


def test_weights_come_from_the_hub(site, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", site.address)
    template = f"{site.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    site.files["/timm/some_vit.tag/resolve/main/model.safetensors"] = b"weights"
    target, seen = tmp_path / "paper/some_vit.safetensors", []
    download_weights("timm/some_vit.tag", target, lambda file: seen.append(file.read_bytes()))
    assert target.read_bytes() == b"weights" == seen[0] and _alone(target)
    target.unlink()

    def refuse(file):
        raise ArtifactError("another file")

    with pytest.raises(ArtifactError, match="another file"):
        download_weights("timm/some_vit.tag", target, refuse)
    assert not any(target.parent.iterdir()), "a wrong file is not kept for the next attempt"
    with pytest.raises(ArtifactError, match="timm/other: no model.safetensors from the hub"):
        download_weights("timm/other", tmp_path / "other.safetensors", lambda file: None)
