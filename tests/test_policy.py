"""Rules about the code itself, as tests."""

import ast
import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "vitedit"
FILES = sorted(SOURCE.rglob("*.py"))

LAYERS = {
    "errors": 0, "npy_files": 0, "pickles": 0, "yaml_files": 0, "zips": 0,
    "config": 1, "config_files": 3, "artifacts": 2, "gpu": 2, "memory": 2, "lineage": 2, "progress": 2, "timings": 2,
    "tensors": 3, "training": 4, "model": 4, "data": 5, "where": 6, "learned": 6,
    "editors": 7, "measure": 7, "embedded": 7, "figures": 7, "stages": 8, "tool": 8, "cli": 9,
}  # fmt: skip
"""A package imports only what lies below it, or its own modules."""


def package(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            names |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def test_there_is_code_to_check():
    assert len(FILES) > 30 and {package(path) for path in FILES} - {"__init__"} == set(LAYERS)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_point_down(path):
    mine = package(path)
    used = {name.split(".")[1] for name in imports(path) if name.startswith("vitedit.")} & set(LAYERS)
    if mine != "__init__":
        assert not {other for other in used - {mine} if LAYERS[other] >= LAYERS[mine]}


@pytest.mark.parametrize("path", sorted((SOURCE / "editors").glob("*.py")), ids=lambda p: p.name)
def test_an_editor_never_imports_another(path):
    methods = {p.stem for p in (SOURCE / "editors").glob("*.py")} - {"__init__", "base"}
    if path.stem in methods:
        assert not {
            name
            for name in imports(path)
            for other in methods - {path.stem}
            if name.startswith(f"vitedit.editors.{other}")
        }


def test_figures_read_tables_only():
    for path in FILES:
        if package(path) == "figures":
            assert not {
                name
                for name in imports(path)
                if name.split(".")[0] in ("torch", "timm") or name.startswith("vitedit.model")
            }


def test_the_file_of_a_method_bears_its_name():
    from vitedit.editors import EDITORS, editor_class

    for method in EDITORS:
        cls = editor_class(method)
        assert cls.__module__ == f"vitedit.editors.{method}"


def test_only_the_command_line_prints():
    for path in FILES:
        calls = {
            node.func.id
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert "print" not in calls or package(path) == "cli", path


def test_functions_and_files_are_short():
    for path in FILES:
        assert len(path.read_text().splitlines()) <= 400, path
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno <= 60, f"{path}: {node.name}"


def test_everything_public_has_a_docstring():
    for path in FILES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                assert ast.get_docstring(node), f"{path}: {node.name}"
                methods = node.body if isinstance(node, ast.ClassDef) else []
                for method in methods:
                    if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
                        assert ast.get_docstring(method), f"{path}: {node.name}.{method.name}"


def test_nothing_is_left_unfinished():
    for path in FILES:
        found = re.findall(r"\b(TODO|FIXME|XXX)\b|raise NotImplementedError", path.read_text())
        assert not found, path


def test_no_registry_host_in_any_file():
    root = SOURCE.parents[1]
    hosts = re.compile("py" + r"pi\.org|python" + r"hosted\.org")
    kinds = ("*.toml", "*.lock", "*.yml", "*.yaml", "*.md", "Makefile", "run")
    checked = [
        path
        for kind in kinds
        for path in [
            *root.glob(kind),
            *root.glob(f"config/{kind}"),
            *root.glob(f".ci/{kind}"),
            *root.glob(f"docs/{kind}"),
        ]
    ]
    assert root / "requirements.lock" in checked
    for path in checked:
        assert not hosts.search(path.read_text()), path


def test_every_word_of_a_row_is_in_the_glossary():
    from vitedit.stages.edit_groups import COLUMNS

    glossary = (SOURCE.parents[1] / "docs" / "glossary.md").read_text()
    for column in ("sr", "gr", "gr_ref", "lr", "setting", "knob", "subset", "group", "edit", "fraction"):
        assert column in COLUMNS and re.search(rf"^\| [^|]*\b{column}\b", glossary, re.M), column
