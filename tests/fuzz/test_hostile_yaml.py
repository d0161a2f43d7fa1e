"""Configurations, the catalogue of data sets and recorded checksums, whatever is written in them."""

from pathlib import Path

import pytest
import yaml
from damage import FUZZ, Damage, damages, outcome
from hypothesis import given, settings
from hypothesis import strategies as st

from vitedit.config import Config, overlay
from vitedit.config_files import load, parse, read
from vitedit.data.catalogue import Dataset, read_catalogue
from vitedit.data.download import verify
from vitedit.errors import ArtifactError, ConfigError

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "config" / "config.yaml"
VALUES = dict(read(CONFIG))
TEXT = CONFIG.read_bytes()
CATALOGUE = (ROOT / "config" / "datasets.yaml").read_bytes()[:1500]
LOCK = b"photos: {address: by hand, bytes: 3, date: '2025-01-01', sha256: '0'}\n"


def written(folder: Path, content: bytes, name: str = "c.yaml") -> Path:
    (folder / name).write_bytes(content)
    return folder / name


@settings(FUZZ, max_examples=FUZZ.max_examples // 5)
@given(damage=damages())
def test_a_damaged_configuration(tmp_path: Path, damage: Damage) -> None:
    path = written(tmp_path, damage(TEXT))
    assert isinstance(outcome(lambda: load(path)), Config | ConfigError)


@FUZZ
@given(damage=damages())
def test_a_damaged_catalogue(tmp_path: Path, damage: Damage) -> None:
    path = written(tmp_path, damage(CATALOGUE))
    assert isinstance(outcome(lambda: read_catalogue(path)), dict | ConfigError)


@FUZZ
@given(damage=damages())
def test_damaged_checksums(tmp_path: Path, damage: Damage) -> None:
    written(tmp_path, damage(LOCK), "datasets.lock.yaml")
    file = written(tmp_path, b"abc", "photos.zip")
    one = Dataset(title="t", path=file, page="p", licence="l", layout="l", manual="m")
    outcome(lambda: verify("photos", one, file, file))


@FUZZ
@given(text=st.text(st.sampled_from("ab:-?[]{}&*!|>%@`'\"#,<~ \n\t0123456789.ex_\\u"), max_size=40))
def test_any_text(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, text.encode())
    assert not isinstance(outcome(lambda: read(path)), str)


def places(values: object, above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Where a value can be put in a configuration."""
    inner = values.items() if isinstance(values, dict) else []
    return [above, *(place for key, value in inner for place in places(value, (*above, key)))]


ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(max_size=5000),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3)
    ),
    max_leaves=6,
)


@FUZZ
@given(place=st.sampled_from(places(VALUES)[1:]), value=ANY)
def test_any_value_at_any_place(place: tuple[str, ...], value: object) -> None:
    piece = value
    for key in reversed(place):
        piece = {key: piece}
    assert isinstance(piece, dict)
    assert isinstance(outcome(lambda: parse(overlay(VALUES, piece), "c.yaml")), Config | ConfigError)


LAUGHS = "\n".join(
    ["a0: &a0 [ha]", *(f"a{at}: &a{at} [{', '.join(10 * [f'*a{at - 1}'])}]" for at in range(1, 30))]
)
MERGED = "\n".join(
    ["a0: &a0 {k: v}", *(f"a{at}: &a{at} {{<<: [{', '.join(10 * [f'*a{at - 1}'])}]}}" for at in range(1, 30))]
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (LAUGHS, "more than 100,000 values, aliases written out"),
        (MERGED, "more than 100,000 values, aliases written out"),
        ("run: &a " + 4000 * "long " + "\nb: [" + ", ".join(1000 * ["*a"]) + "]", "more than 100,000 values"),
        ("run: &a [*a]", "a value contains itself"),
        ("run: &a {b: {c: *a}}", "a value contains itself"),
        ("run: " + 5000 * "[", "too deep in each other"),
        ("run: " + 5000 * "{a: ", "too deep in each other"),
        ("a: b\n" * (2**18), "more than 1,048,576 bytes"),
        ("seed: " + "9" * 5000, "4300"),
        ("seed: 0x" + "f" * 5000, "a number is too large"),
        ("seed: 2001-99-99", "month must be"),
        ("seed: !!int ''", "not valid YAML"),
        ("seed: !!timestamp x", "not valid YAML"),
        ("run: \xff", "not valid YAML"),
        ("run: !!python/object/apply:os.system ['touch ran']", "could not determine a constructor"),
        ("run: !!python/name:os.system", "could not determine a constructor"),
        ("run: !include /etc/passwd", "could not determine a constructor"),
        ("{[a]: b}", "unhashable"),
    ],
)
def test_what_would_grow_run_or_fail_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path, text.encode("latin-1"))
    found = outcome(lambda: load(path))
    assert isinstance(found, ConfigError) and words in str(found) and "c.yaml: not valid YAML" in str(found)
    assert len(str(found)) < 1000 and not (tmp_path / "ran").exists()


def test_a_long_value_is_shown_in_part() -> None:
    nested: object = "value"
    for _ in range(9):
        nested = [nested] * 9
    found = outcome(lambda: parse(VALUES | {"backbones": nested}, "c.yaml"))
    assert isinstance(found, ConfigError) and len(str(found)) < 20_000
    assert "backbones" in str(found) and "..." in str(found)


@pytest.mark.parametrize("path", ["a\0b", "x" * 256, "d/" * 3000, "\udcff"])
def test_a_path_that_no_file_can_have(path: str) -> None:
    for place in ("classes", "released_ablations"):
        found = outcome(lambda place=place: parse(VALUES | {place: path}, "c.yaml"))
        assert isinstance(found, ConfigError) and place in str(found)


@pytest.mark.parametrize("lock", ["[1]", "photos: 3", "", "a: *b"])
def test_recorded_checksums_of_another_form(tmp_path: Path, lock: str) -> None:
    written(tmp_path, lock.encode(), "datasets.lock.yaml")
    file = written(tmp_path, b"abc", "photos.zip")
    one = Dataset(title="t", path=file, page="p", licence="l", layout="l", manual="m")
    found = outcome(lambda: verify("photos", one, file, file))
    if lock:
        assert isinstance(found, ArtifactError) and "datasets.lock.yaml" in str(found)
    else:
        assert yaml.safe_load((tmp_path / "datasets.lock.yaml").read_text())["photos"]["bytes"] == 3


def test_a_folder_in_place_of_a_file(tmp_path: Path) -> None:
    for read_it in (load, read_catalogue):
        assert "cannot be read" in str(outcome(lambda read_it=read_it: read_it(tmp_path)))
