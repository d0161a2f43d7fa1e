import shutil
from pathlib import Path

import pytest

from vitedit import lineage
from vitedit.config_files import load
from vitedit.errors import UnknownNameError
from vitedit.lineage import UPSTREAM, artifacts_of, data_version, depends, lots, notebook_code

ROOT = Path(__file__).parents[1]
CONFIG = load(ROOT / "config" / "config.yaml")
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
STAGES = [
    *("build_benchmark", "build_locality", "search_layers", "store_tokens", "meta_train"),
    *("collect_statistics", "tune", "edit_groups", "show_edits", "specificity"),
]


def changed(section, **values):
    return CONFIG.model_copy(update={section: getattr(CONFIG, section).model_copy(update=values)})


def affected(config, method="hypernet"):
    """Stages whose dependencies differ from the embedded configuration's."""
    named = {"backbone": "base", "method": method}
    return [stage for stage in STAGES if depends(config, stage, **named) != depends(CONFIG, stage, **named)]


@pytest.mark.parametrize(
    ("section", "values", "stages"),
    [
        (
            "benchmark",
            {"groups": 3},
            [stage for stage in STAGES if stage != "build_locality"],
        ),
        (
            "locality",
            {"gap": 0.1},
            [stage for stage in STAGES if stage != "build_benchmark"],
        ),
        (
            "search",
            {"max_edits": 2},
            [
                "search_layers",
                "store_tokens",
                "meta_train",
                "tune",
                "edit_groups",
                "show_edits",
                "specificity",
            ],
        ),
        ("meta_train", {"iterations": 5}, ["meta_train", "tune", "edit_groups", "show_edits", "specificity"]),
        ("statistics", {"max_images": 7}, ["collect_statistics"]),
        ("specificity", {"sparsity": 0.9}, ["specificity"]),
        ("show", {"flipped": 3}, ["show_edits"]),
    ],
)
def test_a_changed_section_affects_its_stage_and_those_after_it(section, values, stages):
    assert affected(changed(section, **values)) == stages


def test_editing_as_the_published_code_does_affects_what_is_made_with_masks():
    assert affected(CONFIG.model_copy(update={"reference": True})) == [
        "tune",
        "edit_groups",
        "show_edits",
        "specificity",
    ]


def test_another_hypernetwork_affects_what_a_training_would():
    taken = changed("meta_train", checkpoint=Path("h.pth"))
    assert affected(taken) == ["meta_train", "tune", "edit_groups", "show_edits", "specificity"]


def test_a_method_without_the_hypernetwork_does_not_depend_on_its_training():
    assert affected(changed("meta_train", iterations=5), method="ft") == ["meta_train", "specificity"]


@pytest.mark.parametrize(("method", "stage"), [("rome", "collect_statistics"), ("mend", "train_editor")])
def test_a_method_depends_on_the_stages_that_make_its_artefacts(method, stage):
    own = depends(CONFIG, stage, backbone="base", method=method)
    assert own.items() <= depends(CONFIG, "edit_groups", backbone="base", method=method).items()
    assert not own.items() <= depends(CONFIG, "edit_groups", backbone="base", method="ft").items()


def test_methods_that_wait_for_the_same_stages_share_jobs():
    several = CONFIG.model_copy(update={"methods_per_job": 4})
    assert lots(several, CONFIG.editors) == [
        "ft-ft_l1-ft_l2-kn",
        "lora-random_mask-searched_mask-spt",
        "hypernet",
        "ke-mend",
        "refine_heads-rome-t_patcher-x_edit",
    ]
    alone = CONFIG.model_copy(update={"methods_per_job": 1})
    assert sorted(lots(alone, CONFIG.editors)) == sorted(CONFIG.editors)
    assert lots(several, ["rome", "ft"]) == ["ft", "rome"]


def test_a_lot_depends_on_what_its_methods_depend_on():
    both = depends(CONFIG, "edit_groups", backbone="base", method="rome-ke")
    alone = [depends(CONFIG, "edit_groups", backbone="base", method=name) for name in ("rome", "ke")]
    assert both == alone[0] | alone[1] and alone[0] != alone[1] != both
    assert artifacts_of(CONFIG, "rome-ke-ft") == ["covariance", "ke"]


def test_one_network_does_not_depend_on_the_others_settings():
    needs = depends(CONFIG, "train_editor", backbone="base", method="ke")
    assert "train_editor.ke" in needs and "train_editor.mend" not in needs


def test_other_trials_concern_the_tuning_only():
    section = CONFIG.editors["hypernet"].model_copy(update={"tune": {"learning_rate": [1e-3]}})
    assert affected(CONFIG.model_copy(update={"editors": {**CONFIG.editors, "hypernet": section}})) == [
        "tune"
    ]


def test_another_methods_settings_do_not_matter():
    other = CONFIG.model_copy(
        update={"editors": {k: v for k, v in CONFIG.editors.items() if k != "random_mask"}}
    )
    assert affected(other) == []


def test_a_model_that_is_not_used_does_not_matter():
    small = CONFIG.models["small"].model_copy(update={"checkpoint": Path("elsewhere.safetensors")})
    assert affected(CONFIG.model_copy(update={"models": {**CONFIG.models, "small": small}})) == []


def test_how_a_released_model_was_trained_does_not_matter():
    base = CONFIG.models["base"]
    longer = base.model_copy(update={"pretrain": base.pretrain.model_copy(update={"epochs": 99})})
    config = CONFIG.model_copy(update={"models": {**CONFIG.models, "base": longer}})
    assert affected(config) == []
    assert depends(config, "pretrain", model="base") != depends(CONFIG, "pretrain", model="base")


def test_an_unknown_stage_is_refused_with_the_known_ones():
    with pytest.raises(UnknownNameError, match="no stage 'edit'.*edit_groups"):
        depends(CONFIG, "edit")


def test_every_stage_has_a_module_of_its_name():
    import vitedit.stages

    modules = {path.stem for path in Path(vitedit.stages.__file__).parent.glob("*.py")}
    assert set(UPSTREAM) <= modules


def test_the_version_of_the_data_is_dvcs_checksum(tmp_path):
    for name, checksum in (("data", "abc.dir"), ("released", "def.dir")):
        (tmp_path / f"{name}.dvc").write_text(f"outs:\n- md5: {checksum}\n  path: {name}\n")
    data, released, photo = Path("data/embedded/classes.txt"), Path("released/rows.parquet"), Path("photos/a")
    assert data_version(data, data, photo, root=tmp_path) == "abc.dir"
    assert data_version(data, released, root=tmp_path) == "abc.dir+def.dir"
    assert data_version(photo, tmp_path / "data" / "a", root=tmp_path) == ""


@pytest.mark.parametrize(
    ("module", "reruns"),
    [
        ("figures/training.py", {"03_meta_training"}),
        ("figures/fresh.py", set()),
        ("figures/behind.py", {path.stem for path in NOTEBOOKS}),
        ("stages/notebook.py", {path.stem for path in NOTEBOOKS}),
    ],
)
def test_changed_drawing_code_reruns_the_notebooks_that_draw_with_it(tmp_path, monkeypatch, module, reruns):
    before = {path.stem: notebook_code(path) for path in NOTEBOOKS}
    shutil.copytree(lineage.PACKAGE, tmp_path / "vitedit", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(lineage, "PACKAGE", tmp_path / "vitedit")
    with (tmp_path / "vitedit" / module).open("a") as file:
        file.write("\nADDED = 1\n")
    after = {path.stem: notebook_code(path) for path in NOTEBOOKS}
    assert {name for name in before if before[name] != after[name]} == reruns
