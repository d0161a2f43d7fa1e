"""The workflow: what it plans, what it reruns, what it says when something is missing. Stages are replaced by a stand-in."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from vitedit.config_files import load
from vitedit.data.catalogue import files_of
from vitedit.figures import FIGURES, SUFFIXES, TABLES

ROOT = Path(__file__).parents[1]
EMBEDDED = ROOT / "config/config.yaml"
PARTS = ["Snakefile", "config", "workflow", "profiles", "environment.yml", "src/vitedit"]


@pytest.fixture
def project(tmp_path):
    """A copy of workflow and package without data, with empty notebooks."""
    place = tmp_path / "project"
    place.mkdir()
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        (place / part).parent.mkdir(exist_ok=True)
        copy(ROOT / part, place / part)
    for name in FIGURES:
        _touch(place / "notebooks" / f"{name}.ipynb")
    return place


def _touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def _bring_files(project, *configs):
    """Empty stand-ins for every file from outside that a configuration names."""
    config = load(*(ROOT / "config" / name for name in configs))
    given = files_of(config, config.models, config.images)
    for path in sorted(
        given, key=lambda path: -len(path.parts)
    ):  # a table may lie in the folder of its images
        place = project / path
        _touch(place / "0.jpg" if place.is_dir() else place)
    return config


def _snakemake(project, *words, python=sys.executable):
    command = [str(python), "-m", "snakemake", "--cores", "2", *words]
    env = {**os.environ, "PYTHONPATH": str(project / "src"), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, env=env, check=False)
    return done.returncode, done.stdout + done.stderr


def _jobs(text):
    """Planned jobs per rule, all notebooks under one name."""
    counted = {}
    table = text.rpartition("Job stats:")[2]
    for rule, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE):
        rule = re.sub(r"^notebook_.*", "notebook", rule)
        counted[rule] = counted.get(rule, 0) + int(count)
    return counted


def test_the_paper_run_plans_both_backbones_and_no_pretraining(project):
    config = _bring_files(project, "config.yaml", "paper.yaml")
    plan = ["-n", "--quiet", "rules", "--configfile", "config/paper.yaml"]
    code, text = _snakemake(project, *plan)
    assert code == 0, text
    assert not (project / "results").exists(), "a dry run leaves nothing"
    jobs = _jobs(text)
    twice = (
        "build_benchmark",
        "build_locality",
        "search_layers",
        "store_tokens",
        "meta_train",
        "collect_statistics",
        "show_edits",
        "specificity",
    )
    once = ("tabulate", "page", "all")
    expected = dict.fromkeys(twice, 2) | dict.fromkeys(once, 1)
    expected |= {"train_editor": 2 * 2, "join_edits": 2 * 15, "notebook": len(FIGURES)}
    expected["join_edits_ablation"] = 2  # two and three samples, on one backbone
    expected |= {"edit_shard": 2 * 15 * config.shards, "edit_shard_ablation": 2 * config.shards}
    assert {rule: count for rule, count in jobs.items() if rule != "total"} == expected

    code, text = _snakemake(project, *plan, "--", "appendix")
    before = (
        "build_benchmark",
        "build_locality",
        "search_layers",
        "store_tokens",
        "meta_train",
        "join_edits",
    )
    expected = dict.fromkeys([*before, "ablations", "appendix"], 1)
    trained = len(config.trained_ablations)
    expected |= {"meta_train_ablation": trained, "join_edits_ablation": trained}
    expected |= {"edit_shard": config.shards, "edit_shard_ablation": trained * config.shards}
    assert trained >= 8 and _jobs(text) == expected | {"total": sum(expected.values())}, text

    code, text = _snakemake(project, *plan, "--", "many_edits")
    before = ("build_benchmark", "build_locality", "search_layers", "meta_train", "collect_statistics")
    expected = dict.fromkeys([*before, "find_failures", "many_edits"], 1)
    expected |= {"train_editor": 2, "edit_many": 15}
    assert code == 0 and _jobs(text) == expected | {"total": sum(expected.values())}, text


def test_lint_is_clean(project):
    code, text = _snakemake(project, "--lint")
    assert code == 0 and "good condition" in text, text


def test_missing_data_says_how_to_get_them(project):
    code, text = _snakemake(project, "-n")
    assert code != 0 and "dvc pull" in text and "Missing: data/embedded/checkpoints/base.safetensors" in text
    code, text = _snakemake(project, "-n", "--configfile", "config/photos.yaml")
    assert code != 0 and "photos/photos.csv" in text and "imagenet_index" in text


def test_missing_data_sets_are_one_message_before_any_job(project):
    paper = ["-n", "--configfile", "config/paper.yaml"]
    code, text = _snakemake(project, *paper)
    assert code != 0 and text.count("`snakemake fetch --configfile config/paper.yaml` downloads:") == 1
    assert text.count("By hand:") == 1 and "Job stats" not in text
    loaded, by_hand = text.split("By hand:")
    assert "imagenet_r: ImageNet-R" in loaded and "2.19 GB" in loaded and "vit_base: ViT-B/16" in loaded
    assert "imagenet_train: ImageNet-1k" in by_hand and "148 GB" in by_hand and "terms of access" in by_hand
    _bring_files(project, "config.yaml", "paper.yaml")
    (project / "paper/ImageNet-Sketch.zip").unlink()
    code, text = _snakemake(project, *paper)
    assert code != 0 and "imagenet_sketch: ImageNet-Sketch" in text
    assert "By hand:" not in text and "ImageNet-R" not in text


def test_an_unknown_key_stops_the_workflow_and_is_named(project):
    (project / "wrong.yaml").write_text("locality: {gapp: 0.1}\n")
    code, text = _snakemake(project, "-n", "--configfile", "wrong.yaml")
    assert code != 0
    assert "config/config.yaml + wrong.yaml: unknown key 'locality.gapp'" in text
    assert "max_images" in text and "Traceback" not in text


def test_an_unknown_method_stops_the_plan(project):
    (project / "wrong.yaml").write_text("editors: {rmoe: {learning_rate: 0.5}}\n")
    code, text = _snakemake(project, "-n", "--configfile", "wrong.yaml", "--config", "seed=1")
    assert code != 0
    assert (
        "config/config.yaml + wrong.yaml + --config: editors: no method 'rmoe'. Methods: hypernet, ft" in text
    )


def test_methods_plans_what_the_kept_ones_need(project):
    _bring_files(project, "config.yaml")
    plan = ["-n", "--quiet", "rules", "--config", "methods=[ft,rome]"]
    code, text = _snakemake(project, *plan, "--", "all", "tuning")
    assert code == 0, text
    jobs = _jobs(text)
    assert not {"meta_train", "specificity", "train_editor"} & jobs.keys()
    assert jobs["show_edits"] == 2, "with fine-tuning alone"
    assert (jobs["edit_groups"], jobs["tune"], jobs["collect_statistics"]) == (4, 4, 2)
    assert (jobs["tabulate"], jobs["notebook"], jobs["page"]) == (1, len(FIGURES), 1)


@pytest.fixture
def stand_in(tmp_path):
    """An interpreter of its own environment whose `vitedit` only makes the files that its flags name."""
    environment = tmp_path / "environment"
    (environment / "bin").mkdir(parents=True)
    shutil.copy(Path(sys.prefix) / "pyvenv.cfg", environment)
    (environment / "lib").symlink_to(Path(sys.prefix) / "lib")
    python = environment / "bin/python"
    python.symlink_to(Path(sys.executable).resolve())
    tables = " ".join(f"{name}.{suffix}" for name, suffixes in TABLES.items() for suffix in suffixes)
    sets = ["train", "natural", "oil_painting", "stage_light", "val", "renditions", "sketch"]
    images = " ".join([*(f"{name}.zip" for name in sets), "natural_truth.csv", "classes.txt"])
    drawn = "\n".join(f"  */{name}.ipynb) names='{' '.join(figures)}';;" for name, figures in FIGURES.items())
    script = f"""#!/usr/bin/env bash
set -eu
stage=$1; shift
declare -A flag=()
while [ $# -gt 0 ]; do case $1 in --*) key=${{1#--}}; flag[$key]=;; *) flag[$key]=$1;; esac; shift; done
[ -s "${{flag[config]}}" ]
make_file() {{ mkdir -p "$(dirname "$1")"; echo "$stage" > "$1"; }}
case $stage in
measure-world) make_file "${{flag[output]}}"; make_file "${{flag[output]%.parquet}}.csv";;
collect-statistics) for made in memory covariance null-space anchors; do make_file "${{flag[$made]}}"; done;;
tuning) make_file "${{flag[output]}}"; make_file "${{flag[output]%.parquet}}.csv"; make_file "${{flag[tuned]}}";;
search-layers) make_file "${{flag[rows]}}"; make_file "${{flag[choice]}}";;
render-images) for name in {images}; do make_file "${{flag[output]}}/$name"; done;;
tabulate) for name in {tables}; do make_file "${{flag[output]}}/$name"; done;;
notebook)
  case ${{flag[notebook]}} in
{drawn}
  esac
  for name in $names; do for end in {" ".join(SUFFIXES)}; do make_file "${{flag[figures]}}/$name.$end"; done; done;&
*) for key in output html log-table sites; do [ -z "${{flag[$key]-}}" ] || make_file "${{flag[$key]}}"; done;;
esac
"""
    (environment / "bin/vitedit").write_text(script)
    (environment / "bin/vitedit").chmod(0o755)
    return python


@pytest.mark.skipif(sys.prefix == sys.base_prefix, reason="needs a virtual environment to stand in for")
def test_fetching_needs_nothing_that_it_fetches_and_fails_if_something_is_left(project, stand_in):
    told = stand_in.with_name("vitedit")
    told.write_text('#!/bin/sh\n[ "$1" = check ] || { echo "bring it" >&2; exit 2; }\n')
    code, text = _snakemake(project, "fetch", "--configfile", "config/photos.yaml", python=stand_in)
    assert code != 0 and "bring it" in text, text
    assert "bring it" in (project / "results/photos/logs/fetch.log").read_text()


@pytest.mark.skipif(sys.prefix == sys.base_prefix, reason="needs a virtual environment to stand in for")
def test_a_configuration_that_fails_the_check_leaves_the_runs_own_in_place(project, stand_in):
    stand_in.with_name("vitedit").write_text(
        '#!/bin/sh\n[ "$1" = check ] && grep -q "^seed: 1$" "$3" && echo "no such rate" >&2 && exit 2; exit 0\n'
    )
    effective = project / "results/embedded/config.yaml"
    assert _snakemake(project, "fetch", python=stand_in)[0] == 0
    before = effective.read_text()
    code, text = _snakemake(project, "fetch", "--config", "seed=1", python=stand_in)
    assert code != 0 and "no such rate" in text
    assert effective.read_text() == before and [effective] == list(effective.parent.glob("*config*"))


@pytest.mark.skipif(sys.prefix == sys.base_prefix, reason="needs a virtual environment to stand in for")
def test_the_embedded_run_and_what_reruns(project, stand_in):
    config = _bring_files(project, "config.yaml")
    everything = ["--", "all", "images", "models", "tuning"]
    code, text = _snakemake(project, "--quiet", "rules", *everything, python=stand_in)
    assert code == 0, text
    expected = {
        "build_benchmark": 2,
        "build_locality": 2,
        "search_layers": 2,
        "store_tokens": 2,
        "meta_train": 2,
        "collect_statistics": 2,
        "train_editor": 4,
        "edit_groups": 14,
        "edit_groups_ablation": 2,
        "show_edits": 2,
    }
    expected |= {
        "specificity": 2,
        "tabulate": 1,
        "notebook": len(FIGURES),
        "page": 1,
        "render_images": 1,
        "pretrain": 3,
    }
    expected |= {"measure_world": 1, "tune": 14, "tuning": 1, "all": 1, "images": 1, "models": 1}
    assert _jobs(text) == expected | {"total": sum(expected.values())}
    effective = project / "results/embedded/config.yaml"
    assert load(effective) == config, "what the stages read is the merged configuration"
    assert (project / "results/embedded/timings/edit_groups/base/ft-ft_l1-ft_l2.tsv").exists()
    assert (project / "results/embedded/logs/meta_train/base.log").exists()

    for file in (project / "data").rglob("*"):
        os.utime(file)  # as `dvc checkout` does
    unchanged = effective.stat().st_mtime_ns
    code, text = _snakemake(project, *everything, python=stand_in)
    assert code == 0 and "Nothing to be done" in text, text
    assert effective.stat().st_mtime_ns == unchanged

    (project / "other.yaml").write_text("editors: {random_mask: {sparsity: [0.5]}}\n")
    code, text = _snakemake(project, "-n", "--quiet", "rules", "--configfile", "other.yaml", python=stand_in)
    expected = {"edit_groups": 2, "tabulate": 1, "notebook": len(FIGURES), "page": 1, "all": 1}
    assert _jobs(text) == expected | {"total": sum(expected.values())}, text

    (project / "other.yaml").write_text("token_store_gb: 5.0\n")
    code, text = _snakemake(project, "-n", "--quiet", "rules", "--configfile", "other.yaml", python=stand_in)
    assert _jobs(text) == {"store_tokens": 2, "total": 2}, "edits do not depend on what is stored"

    (project / "other.yaml").write_text("show: {methods: []}\n")
    code, text = _snakemake(project, "-n", "--quiet", "rules", "--configfile", "other.yaml", python=stand_in)
    expected = {
        rule: count for rule, count in expected.items() if rule not in ("edit_groups", "store_tokens")
    }
    assert _jobs(text) == expected | {"total": sum(expected.values())}, text

    (project / "other.yaml").write_text("ablations: {samples: {three: {samples: 4}}}\n")
    code, text = _snakemake(project, "-n", "--quiet", "rules", "--configfile", "other.yaml", python=stand_in)
    expected["edit_groups_ablation"] = 1
    assert _jobs(text) == expected | {"total": sum(expected.values())}, text

    (project / "data/embedded/checkpoints/base.safetensors").unlink()
    for target in ("tables", "figures", "notebooks", "tuning", "all"):
        code, text = _snakemake(project, "-n", target, python=stand_in)
        assert code != 0 and "Missing: data/embedded/checkpoints/base.safetensors" in text, target
    code, text = _snakemake(project, python=stand_in)
    assert code != 0 and "Missing: " in text and "100%" not in text
    code, text = _snakemake(project, "-n", "fetch", "images", "models", python=stand_in)
    assert code == 0, text


@pytest.mark.skipif(sys.prefix == sys.base_prefix, reason="needs a virtual environment to stand in for")
def test_the_appendix_is_shown_once_made_and_a_variant_reruns_alone(project, stand_in):
    config = _bring_files(project, "config.yaml")
    families = dict.fromkeys(config.ablations) | {
        "a": {"one": {"meta_train": {"blocks": 1}}, "two": {"meta_train": {"blocks": 2}}},
        "b": {"one": {"meta_train": {"inner_steps": 1}}},
    }
    small = {"ablations": families, "methods": ["hypernet"], "backbones": ["base"]}
    (project / "small.yaml").write_text(yaml.safe_dump(small))
    laid, quiet = ["--configfile", "small.yaml"], ["--quiet", "rules"]
    code, text = _snakemake(project, *quiet, *laid, "--", "appendix", python=stand_in)
    before = (
        "build_benchmark",
        "build_locality",
        "search_layers",
        "store_tokens",
        "meta_train",
        "edit_groups",
    )
    expected = dict.fromkeys([*before, "ablations", "appendix"], 1)
    expected |= {"meta_train_ablation": 4, "edit_groups_ablation": 4}  # three variants and their default
    assert code == 0 and _jobs(text) == expected | {"total": sum(expected.values())}, text
    assert (project / "results/embedded/base/ablations/a/one/hypernet_log.parquet").exists()

    _touch(project / "released/embedded/many_edits.parquet")
    code, text = _snakemake(project, "-n", "-p", *laid, "--", "tables", python=stand_in)
    assert code == 0 and "--released-many released/embedded/many_edits.parquet" in text
    code, text = _snakemake(project, *quiet, *laid, "--", "many_edits", python=stand_in)
    assert code == 0 and _jobs(text) == {"find_failures": 1, "edit_many": 1, "many_edits": 1, "total": 3}, (
        text
    )
    code, text = _snakemake(project, "-n", "-p", *laid, "--", "tables", python=stand_in)
    assert "--many results/embedded/many_edits.parquet" in text and "--released-many" not in text
    (project / "results/embedded/many_edits.parquet").unlink()
    (project / "released/embedded/many_edits.parquet").unlink()

    (project / "other.yaml").write_text("ablations: {a: {two: {meta_train: {blocks: 4}}}}\n")
    both = ["--configfile", "small.yaml", "other.yaml"]
    code, text = _snakemake(project, "-n", *quiet, *both, "--", "appendix", python=stand_in)
    alone = dict.fromkeys(["meta_train_ablation", "edit_groups_ablation", "ablations", "appendix"], 1)
    assert code == 0 and _jobs(text) == alone | {"total": 4}, text

    _touch(project / "released/embedded/ablations.parquet")
    code, text = _snakemake(project, "-n", "-p", *laid, "--", "tables", python=stand_in)
    assert code == 0 and "--appendix results/embedded/ablations.parquet" in text and "--released" not in text
    assert "edit_groups_ablation" not in text and "rule meta_train" not in text
    (project / "results/embedded/ablations.parquet").unlink()
    code, text = _snakemake(project, "-n", "-p", *laid, "--", "tables", python=stand_in)
    assert "--released released/embedded/ablations.parquet" in text and "--appendix" not in text
    (project / "released/embedded/ablations.parquet").unlink()
    code, text = _snakemake(project, "-n", "-p", *laid, "--", "tables", python=stand_in)
    assert code == 0 and not re.search("--appendix|--released", text)
