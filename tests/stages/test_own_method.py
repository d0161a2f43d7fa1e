"""The example of docs/own-method.md, followed to the letter on a copy of the package."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
DRAW = """
import sys
import pandas as pd
from vitedit.artifacts import load_table
from vitedit.figures import curves as drawn
from vitedit.measure.tabulate import curves

made = pd.concat([load_table(path) for path in sys.argv[1:]])
table = curves(made, 50, 0)
table = pd.concat([table, table.assign(backbone="another")])
for name in ("fig4_curves", "figF_curves", "fig4b_success"):
    figure = getattr(drawn, name)(table)
    texts = {t.get_text() for legend in figure.legends for t in legend.get_texts()}
    texts |= {t.get_text() for axis in figure.axes for t in axis.get_yticklabels()}
    print(name, "gradient mask" in texts)
"""


def test_one_file_one_line_and_one_entry_bring_a_method_into_the_figures(chain):
    text = (ROOT / "docs/own-method.md").read_text()
    code, line = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (entry,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    package = shutil.copytree(ROOT / "src/vitedit", chain.folder / "own/vitedit")
    (package / "editors/gradient_mask.py").write_text(code)
    table = package / "editors/__init__.py"
    table.write_text(table.read_text().replace("EDITORS = {\n", f"EDITORS = {{\n{line}"))
    (chain.folder / "mine.yaml").write_text(entry)
    assert yaml.safe_load(entry)["editors"].keys() == {"gradient_mask"}

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
    shown = python("-c", DRAW, "own.parquet", str(chain.results / "edits/ft.parquet"))
    assert shown.split() == ["fig4_curves", "True", "figF_curves", "True", "fig4b_success", "True"]
