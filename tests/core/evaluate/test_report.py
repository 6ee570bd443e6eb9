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
from crystalfw.core.evaluate.report.charts import WIDTH, Interval, Line, intervals, line_chart
from crystalfw.core.evaluate.report.numbers import log_ticks, tick_labels, ticks
from crystalfw.core.presentation import short, to_places
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


def test_numbers_that_are_nothing_but_rounding():
    assert (short(8.97e-17), to_places(0.0), to_places(4e-4, 3), to_places(0.01234), to_places(None)) == (
        "0", "<0.001", "<0.001", "0.012", "–",
    )  # fmt: skip
    assert log_ticks(0.5, 2000) == [1, 10, 100, 1000]
    assert log_ticks(1, 4) == [1, 2]
    assert log_ticks(0.02, 0.03) == [0.02]


def test_steep_curves_are_logarithmic_and_nothing_is_clipped():
    points = [(float(x), 1000.0 / x**2) for x in range(1, 100)]
    steep = line_chart([Line("loss", points)], "step", "nats", "label")
    assert "nats (logarithmic)" in steep
    heights = [float(y) for y in re.findall(r"[ML][\d.]+ (-?[\d.]+)", re.search(r' d="(M[^"]+)" class="line', steep).group(1))]
    assert len(set(heights)) > 90, "the first steps do not lie on one line at the top"
    assert "logarithmic" not in line_chart([Line("loss", [(0, 1.0), (1, 0.5)])], "step", "nats", "label")
    assert "logarithmic" not in line_chart([Line("loss", [(0, 100.0), (1, 0.0)])], "step", "nats", "label")


def test_no_label_is_cut_and_names_stand_left_of_the_plot():
    chart = line_chart([Line("a", [(0, 1.0), (1000, 2.0)])], "step", "", "label")
    (x,) = re.findall(r'<text x="([\d.]+)" y="[\d.]+" text-anchor="middle">1000</text>', chart)
    assert float(x) + 3.5 * len("1000") <= WIDTH
    rows = [Interval("cross attention", 1.0, 0.5, 1.5), Interval("a name that is far too long for its place", 2.0, None, None)]
    drawn = intervals(rows, "label")
    ends = [float(x) for x in re.findall(r'text x="([\d.]+)" y="[\d.]+" text-anchor="end"', drawn)]
    marks = [float(x) for x in re.findall(r'cx="([\d.]+)"', drawn)]
    assert len(ends) == 2
    assert max(ends) < min(marks)
    assert "a name that is far too long for its place</title>" in drawn


def test_a_model_that_predicts_has_its_own_unit_and_no_empty_panels(tmp_path):
    (tmp_path / "recipe.yaml").write_text("name: x\n")
    rows = [f"{step},{3 / step},{4 / step},1e-3,0.5,0,0" for step in range(1, 30)]
    (tmp_path / "metrics.csv").write_text("step,loss,val_loss,lr,grad_norm,tokens,tokens_per_s\n" + "\n".join(rows) + "\n")
    (tmp_path / "predictions.csv").write_text("id,column,target,predicted\na,gap,1.0,1.5\n")
    (tmp_path / "metrics.json").write_text(json.dumps({"prediction": {"gap": {"mae": 0.5, "mae_of_the_median": 1.0}}}))
    (tmp_path / "provenance.json").write_text(json.dumps({"loss_unit": "standard deviations"}))
    content = write_report(tmp_path).read_text(encoding="utf-8")
    assert "standard deviations" in content
    for absent in ("nats per token", "Speed", "samples.csv", "is not in this folder"):
        assert absent not in content


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
  const buttons = [...svg.parentElement.querySelectorAll(".tools button")].map((b) => b.getAttribute("aria-label"));
  const radius = () => Math.max(...[...svg.querySelectorAll("circle")].map((c) => c.r.baseVal.value));
  drawn(() => {
    const after = svg.innerHTML;
    svg.dispatchEvent(new MouseEvent("dblclick"));
    drawn(() => {
      const wide = document.documentElement.scrollWidth > document.documentElement.clientWidth;
      const turned = before !== after, back = balls().every((v, k) => Math.abs(v - home[k]) <= 0.11);
      const fetched = performance.getEntriesByType("resource").map((e) => e.name).filter((name) => !name.startsWith("data:"));
      const said = { turned, back, wide, fetched, problems, buttons, balls: home.length / 2 };
      const small = radius(), key = (name) => svg.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true }));
      key("+"); key("p");
      drawn(() => {
        said.zoomed = radius() > 1.2 * small;
        said.faces = svg.querySelectorAll("path.face").length;
        document.body.setAttribute("data-probe", JSON.stringify(said));
      });
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
    assert said["zoomed"]
    assert said["faces"] >= 8  # rock salt: an octahedron for each sodium atom
    assert said["buttons"] == ["Zoom out", "Zoom in", "Show coordination polyhedra"]
    assert not said["wide"]
    assert "CONSOLE" not in done.stderr
    assert said["fetched"] == []
