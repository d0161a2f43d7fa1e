"""The example of docs/own-method.md, followed to the letter on a copy of the package."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
CHECK = """
import sys
from pathlib import Path
import pandas as pd
from vitedit import editors
from vitedit.config import DescentConfig
from vitedit.config_files import load
from vitedit.artifacts import load_table
from vitedit.figures import curves as drawn
from vitedit.measure.tabulate import curves

made = pd.concat([load_table(path) for path in sys.argv[1:3]])
table = curves(made, 50, 0)
table = pd.concat([table, table.assign(backbone="another")])
for name in ("fig4_curves", "figF_curves", "fig4b_success"):
    figure = getattr(drawn, name)(table)
    texts = {t.get_text() for legend in figure.legends for t in legend.get_texts()}
    texts |= {t.get_text() for axis in figure.axes for t in axis.get_yticklabels()}
    print(name, "gradient mask" in texts)

config = load(*map(Path, sys.argv[3:]))
editors.check(config)
print(*config.editors)
RATE = {"learning_rate": 3e-3}
for method, setting in {%s}.items():
    print(method, editors.editor_class(method)(descent=DescentConfig(), **setting).sparsity)
"""


def test_one_file_one_line_and_one_entry_bring_a_method_into_the_figures(chain):
    text = (ROOT / "docs/own-method.md").read_text()
    code, line, setting = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (entry,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    package = shutil.copytree(ROOT / "src/vitedit", chain.folder / "own/vitedit")
    (package / "editors/gradient_mask.py").write_text(code)
    table = package / "editors/__init__.py"
    table.write_text(table.read_text().replace("EDITORS = {\n", f"EDITORS = {{\n{line}"))
    (chain.folder / "whole.yaml").write_text(entry)
    trials = yaml.safe_load((chain.folder / "config.yaml").read_text())["tuning"]["trials"]
    (chain.folder / "mine.yaml").write_text(yaml.safe_dump(_with_trials(yaml.safe_load(entry), trials)))

    def python(*words: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(package.parent)}
        done = subprocess.run(
            [sys.executable, *words], cwd=chain.folder, env=environment, text=True, capture_output=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    words = chain.arguments("edit-groups", "--methods", "gradient_mask", "--output", "own.parquet")
    words.insert(words.index("config.yaml") + 1, "mine.yaml")
    python("-m", "vitedit.cli", *words)
    tables, configs = (
        ["own.parquet", str(chain.results / "edits/ft.parquet")],
        [str(ROOT / "config/config.yaml")],
    )
    shown = python("-c", CHECK % setting, *tables, *configs, "whole.yaml").splitlines()
    assert shown[:3] == ["fig4_curves True", "figF_curves True", "fig4b_success True"]
    assert shown[3:] == ["hypernet random_mask gradient_mask", "gradient_mask 0.5"]


def _with_trials(entry: dict, trials: int) -> dict:
    """The entry with as many trials as the methods of the tiny world have."""
    assert entry["editors"].keys() == {"gradient_mask"} and entry["run"] == "mine"
    tune = entry["editors"]["gradient_mask"]["tune"]
    tune["learning_rate"] = tune["learning_rate"][:trials]
    return entry
