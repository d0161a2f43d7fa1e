"""The page in a real browser: headless Chromium opens it from the disk, without a network."""

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest
import synthetic
from PIL import Image
from test_page import CONFIG

from vitedit.figures import FIGURES, SUFFIXES
from vitedit.figures.captions import CAPTIONS
from vitedit.stages.page import page

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--allow-file-access-from-files"),
    *("--virtual-time-budget=60000", "--enable-logging=stderr", "--dump-dom"),
]
pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="no Chromium on the PATH (Debian: apt install chromium)"
)

CHECK = """<!DOCTYPE html><html><body><iframe id="page" src="index.html" style="width:400px;height:800px;border:0"></iframe>
<pre id="findings"></pre><script>
addEventListener("load", async () => {
  const frame = document.getElementById("page"), inner = frame.contentWindow, page = frame.contentDocument;
  for (const image of page.images) image.loading = "eager";
  await Promise.all([...page.images].map(image => image.decode().catch(() => {})));
  const text = () => page.getElementById("shown").textContent;
  const group = page.querySelector("#choose [name=group]"), before = text();
  group.selectedIndex = 1;
  group.dispatchEvent(new inner.Event("change", { bubbles: true }));
  await Promise.all([...page.images].map(image => image.decode().catch(() => {})));
  const table = page.querySelector("#numbers ~ div table.sorts"), head = table.tHead.rows[0].cells[3];
  const column = () => [...table.tBodies[0].rows].map(row => parseFloat(row.cells[3].textContent));
  const sorted = [];
  for (const _ of [1, 2]) {
    head.querySelector("button").click();
    sorted.push([head.getAttribute("aria-sort"), column()]);
  }
  document.getElementById("findings").textContent = JSON.stringify({
    images: page.images.length,
    broken: [...page.images].filter(image => !image.naturalWidth).map(image => image.alt),
    links: [...page.links].map(link => link.getAttribute("href")),
    anchors: [...page.links].filter(link => link.hash && link.getAttribute("href")[0] === "#"
      && !page.getElementById(link.hash.slice(1))).map(link => link.hash),
    width: page.documentElement.scrollWidth,
    sorted, before, after: text(),
    selects: page.querySelectorAll("#choose select").length,
  });
});
</script></body></html>"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tables):
    """A whole run's folder: page, tables, figures, and notebooks by name."""
    root = tmp_path_factory.mktemp("run")
    (root / "figures").mkdir()
    (root / "notebooks").mkdir()
    synthetic.write(root / "tables", tables)
    for name in CAPTIONS:
        Image.new("RGB", (1200, 300), "white").save(root / "figures" / f"{name}.png")
        for ending in SUFFIXES[1:]:
            (root / "figures" / f"{name}.{ending}").touch()
    for name in FIGURES:
        for ending in ("html", "ipynb"):
            (root / "notebooks" / f"{name}.{ending}").touch()
    page(CONFIG, output=root / "index.html")
    return root


def opened(folder: Path, profile: Path, spoil: dict[str, str] | None = None) -> tuple[dict, list[str]]:
    """What the checking frame found, and what the console said; `spoil` first replaces some texts of the page once."""
    text = (folder / "index.html").read_text()
    spoilt = text
    for old, new in (spoil or {}).items():
        assert old in spoilt
        spoilt = spoilt.replace(old, new, 1)
    (folder / "index.html").write_text(spoilt)
    (folder / "check.html").write_text(CHECK)
    words = [str(BROWSER), *FLAGS, f"--user-data-dir={profile}"]
    try:
        found, said = _findings([*words, (folder / "check.html").as_uri()])
    finally:
        (folder / "index.html").write_text(text)
    return json.loads(unescape(found)), [line for line in said.splitlines() if "CONSOLE" in line]


def _findings(words: list[str], tries: int = 5) -> tuple[str, str]:
    """What the check wrote, and what the browser said. Its virtual time may run out while pictures are still decoded."""
    for _ in range(tries):
        run = subprocess.run(words, capture_output=True, text=True, timeout=120)
        found = re.search(r'<pre id="findings">(.+?)</pre>', run.stdout, re.DOTALL)
        if found:
            return found[1], run.stderr
    raise AssertionError(f"no findings in {tries} tries: {run.stderr[-2000:]}")


def test_page_works_in_a_browser(folder: Path, tmp_path: Path) -> None:
    found, console = opened(folder, tmp_path)
    assert console == [] and found["broken"] == [] and found["anchors"] == []
    assert found["images"] >= len(CAPTIONS) + 5
    missing = [link for link in found["links"] if link[0] != "#" and not (folder / link).is_file()]
    assert missing == [] and len(found["links"]) > 50
    assert found["width"] <= 400
    (first, rising), (second, falling) = found["sorted"]
    assert (first, second) == ("ascending", "descending")
    assert rising == sorted(rising) and falling == sorted(rising, reverse=True) and rising != falling
    assert found["selects"] == 3 and found["before"] != found["after"]
    assert "11 of 20 right after the edit" in found["after"] and "2 of 50" in found["after"]


def test_these_checks_can_fail(folder: Path, tmp_path: Path) -> None:
    spoil = {
        '<img src="data:image/png;base64,': '<img src="data:image/png;base64,AAAA',
        "<main>": '<main><div style="width:600px">wide</div>',
        'href="#figures"': 'href="#nowhere"',
        "given = ": "given = console.error('planted') || ",
    }
    found, console = opened(folder, tmp_path, spoil)
    assert len(found["broken"]) == 1 and found["anchors"] == ["#nowhere"] and found["width"] > 400
    assert len(console) == 1 and "planted" in console[0]
