"""The report: complete, escaped, self-contained; and, where Chromium is installed, as a browser sees it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from crystalfw.core.evaluate.evaluation import evaluate
from crystalfw.core.evaluate.report import write_comparison, write_report
from crystalfw.core.evaluate.report.numbers import tick_labels, ticks
from crystalfw.core.presentation import short
from crystalfw.core.sample.table import write_samples
from tests.plugins.metrics.crystals import caesium_chloride, moved, perovskite, rock_salt, sample

EVIL = '<script>alert("x")</script>\'"&'
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    """A run folder whose every text tries to break the page."""
    folder = tmp_path_factory.mktemp("runs") / "run <b>"
    folder.mkdir()
    samples = [
        sample("a", rock_salt(), reference_id="salt"),
        sample(EVIL, perovskite(), reference_id=EVIL),
        sample("c", status="graph", reason=f"graph {EVIL}"),
        sample("d", caesium_chloride()),
    ]
    write_samples(samples, folder / "samples.csv")
    rows = [f"{step},{3 / step},{4 / step if step % 2 else ''},1e-3,0.5,100" for step in range(1, 30)]
    (folder / "metrics.csv").write_text("step,loss,val_loss,lr,grad_norm,tokens_per_s\n" + "\n".join(rows) + "\n")
    (folder / "recipe.yaml").write_text(f"name: {EVIL}\n")
    (folder / "provenance.json").write_text(json.dumps({"versions": {"torch": EVIL}, "seed": 3, "parameters": {"decoder": 12}}))
    reference = [moved(rock_salt()), perovskite(id=EVIL)]
    evaluate(folder / "samples.csv", reference, out=folder, workers=1, quiet=True)
    return folder


class Tags(HTMLParser):
    """Checks that every element is closed in order, and collects names and addresses."""

    VOID = frozenset({"meta", "link", "br", "path", "circle", "rect", "line", "stop"})

    def __init__(self):
        super().__init__()
        self.open, self.names, self.addresses = [], [], []

    def handle_starttag(self, name, attributes):
        self.names.append(name)
        self.addresses += [value for key, value in attributes if key in ("href", "src", "action", "xlink:href")]
        if name not in self.VOID:
            self.open.append(name)

    def handle_startendtag(self, name, attributes):
        self.names.append(name)

    def handle_endtag(self, name):
        if name not in self.VOID:
            assert self.open.pop() == name


def parsed(path):
    tags = Tags()
    tags.feed(path.read_text(encoding="utf-8"))
    assert not tags.open
    return tags


def test_a_run_is_shown_completely(run_dir):
    path = write_report(run_dir)
    content = path.read_text(encoding="utf-8")
    of_metrics = [f"metric-{name}" for name in ("funnel", "match", "distributions", "elements")]
    for id in ("summary", "answers", "training", *of_metrics, "crystals", "recipe", "provenance"):
        assert f'<section id="{id}">' in content
    # three in the gallery, and both requests with what was asked for and the answer
    assert content.count('class="crystal"') == 3 + 2 * 2
    assert "is not in this folder" not in content


def test_text_from_data_never_becomes_markup(run_dir):
    for path in (write_report(run_dir), write_comparison([run_dir, run_dir], run_dir.parent / "out")):
        tags = parsed(path)
        assert tags.names.count("script") == 1
        assert "alert(" not in re.sub(r"&[#\w]+;alert", "", path.read_text(encoding="utf-8").replace("&gt;alert(", ""))


def test_nothing_is_fetched(run_dir):
    for path in (write_report(run_dir), write_comparison([run_dir], run_dir.parent / "out")):
        content = path.read_text(encoding="utf-8")
        assert all(address.startswith(("#", "data:")) for address in parsed(path).addresses)
        assert "http" not in content.replace('http-equiv="Content-Security-Policy"', "")
        assert "default-src 'none'" in content


def test_an_empty_folder_says_what_is_missing(tmp_path):
    content = write_report(tmp_path).read_text(encoding="utf-8")
    for name in ("recipe.yaml", "metrics.csv", "samples.csv", "metrics.json", "provenance.json"):
        assert f"<code>{name}</code> is not in this folder" in content


def test_damaged_files_are_named(tmp_path):
    (tmp_path / "metrics.json").write_text("{")
    (tmp_path / "metrics.csv").write_text("step,loss\n1,x\n2,\n")
    content = write_report(tmp_path).read_text(encoding="utf-8")
    assert "it cannot be read" in content
    assert "Nothing was recorded" in content


def test_runs_side_by_side(run_dir, tmp_path):
    path = write_comparison([run_dir, tmp_path], tmp_path / "both.html", title="A & B")
    content = path.read_text(encoding="utf-8")
    assert path.name == "both.html"
    assert "<h1>A &amp; B</h1>" in content
    assert f"{tmp_path.name}/metrics.csv</code> is not there" in content


def test_numbers_for_people():
    assert [short(value) for value in (None, float("nan"), 12345, 0.123456, 1e-7, 2.0, True, "x")] == [
        "–", "–", "12,345", "0.1235", "1.000e-07", "2", "True", "x",
    ]  # fmt: skip
    assert ticks(0, 10) == [0, 2.5, 5, 7.5, 10]
    assert tick_labels([0, 0.0005, 0.001]) == ["0", "5e-4", "1e-3"]
    assert tick_labels([0, 5000, 10000]) == ["0", "5k", "10k"]


PROBE = """
<script>
const problems = [];
window.requestAnimationFrame = (draw) => setTimeout(draw, 10);  // without a screen there are hardly any frames
addEventListener("error", (e) => problems.push(e.message));
addEventListener("securitypolicyviolation", (e) => problems.push("blocked " + e.blockedURI));
addEventListener("load", () => {
  const svg = document.querySelector("svg.crystal");
  const places = (c) => [c.cx.baseVal.value, c.cy.baseVal.value];
  const balls = () => [...svg.querySelectorAll("circle")].flatMap(places).sort((a, b) => a - b);
  const before = svg.innerHTML, home = balls();
  const at = (name, x, y) => svg.dispatchEvent(new PointerEvent(name, { clientX: x, clientY: y, pointerId: 1, bubbles: true }));
  svg.setPointerCapture = () => {};
  at("pointerdown", 100, 100); at("pointermove", 160, 120); at("pointerup", 160, 120);
  const drawn = (then) => setTimeout(then, 200);
  drawn(() => {
    const after = svg.innerHTML;
    svg.dispatchEvent(new MouseEvent("dblclick"));
    drawn(() => {
      const wide = document.documentElement.scrollWidth > document.documentElement.clientWidth;
      const turned = before !== after, back = balls().every((v, k) => Math.abs(v - home[k]) <= 0.11);
      const fetched = performance.getEntriesByType("resource").map((e) => e.name).filter((name) => !name.startsWith("data:"));
      const said = { turned, back, wide, fetched, problems, balls: home.length / 2 };
      document.body.setAttribute("data-probe", JSON.stringify(said));
    });
  });
});
</script>
"""


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.parametrize("width", [360, 1200])
def test_in_a_browser(run_dir, tmp_path, width):
    page = write_report(run_dir).read_text(encoding="utf-8")
    (tmp_path / "page.html").write_text(page.replace("<script>", PROBE + "<script>", 1), encoding="utf-8")
    options = [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--enable-logging=stderr", f"--window-size={width},900",
        f"--user-data-dir={tmp_path / 'profile'}", "--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=4000",
        "--dump-dom", f"file://{tmp_path / 'page.html'}",
    ]  # fmt: skip
    done = subprocess.run([CHROMIUM, *options], capture_output=True, text=True, timeout=90, check=True)
    found = re.search(r'data-probe="([^"]*)"', done.stdout)
    assert found, done.stderr
    said = json.loads(found.group(1).replace("&quot;", '"'))
    assert said["problems"] == []
    assert said["turned"]
    assert said["back"]
    assert said["balls"] >= 2
    assert not said["wide"]
    assert "CONSOLE" not in done.stderr
    assert said["fetched"] == []
