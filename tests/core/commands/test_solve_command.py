"""`crystalfw pattern` and `crystalfw solve`, as a user calls them."""

import csv

import numpy as np
import pytest

from crystalfw.core.commands.cli import main
from crystalfw.core.crystal import Crystal

FCC = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 2


def binary(a, first, second, place=0.5, lattice=FCC):
    return Crystal(lattice=a * lattice, frac_coords=np.array([[0, 0, 0], [place] * 3]), numbers=np.array([first, second]))


KNOWN = [
    binary(5.64, 11, 17), binary(5.14, 3, 17), binary(6.60, 19, 35), binary(5.41, 30, 16, 0.25), binary(5.67, 30, 34, 0.25),
    binary(4.12, 55, 17, 0.5, np.eye(3)), binary(4.29, 55, 35, 0.5, np.eye(3)), binary(4.21, 12, 8),
]  # fmt: skip


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    folder = tmp_path_factory.mktemp("solve")
    (folder / "handbook").mkdir()
    for number, crystal in enumerate(KNOWN):
        crystal.write(folder / "handbook" / f"{number}.cif")
    assert main(["library", "build", str(folder / "handbook"), "-o", str(folder / "my.library"), "--workers", "1"]) == 0
    return folder / "my.library"


@pytest.fixture(scope="module")
def pattern(tmp_path_factory):
    """A noisy pattern of KCl, a = 6.29 angstrom, whose formula the library lacks."""
    folder = tmp_path_factory.mktemp("pattern")
    binary(6.29, 19, 17).write(folder / "kcl.cif")
    assert main(["pattern", str(folder / "kcl.cif"), "-o", str(folder / "clean.xy"), "--plot"]) == 0
    assert (folder / "kcl.pattern.svg").read_text().startswith("<svg")
    x, y = np.loadtxt(folder / "clean.xy").T
    counts = np.random.default_rng(0).poisson(50 * y + 40)
    (folder / "kcl.xy").write_text("\n".join(f"{a:.3f} {b}" for a, b in zip(x, counts, strict=True)))
    return folder / "kcl.xy"


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "solve-cache"))


def test_peaks_of_a_measurement(pattern, capsys, tmp_path):
    assert main(["pattern", str(pattern), "--lines", str(tmp_path / "peaks.csv"), "--plot", str(tmp_path / "p.svg")]) == 0
    peaks = rows(tmp_path / "peaks.csv")
    strongest = max(peaks, key=lambda row: float(row["intensity"]))
    assert float(strongest["d"]) == pytest.approx(6.29 / 2, abs=0.005)
    assert "peaks" in capsys.readouterr().out


def test_solves_a_formula_that_the_library_lacks(pattern, library, tmp_path):
    out = tmp_path / "solved"
    assert main(["solve", str(pattern), "--formula", "KCl", "--library", str(library), "-o", str(out)]) == 0
    first = rows(out / "samples.csv")[0]
    assert (first["reference_id"], first["rank"], first["space_group"]) == ("kcl", "1", "225")
    found = Crystal.from_cif(first["cif"])
    assert abs(np.linalg.det(found.lattice)) == pytest.approx(6.29**3 / 4, rel=3e-3)
    page = (out / "report.html").read_text()
    assert "difference" in page
    assert "kcl" in page
    assert len(list((out / "cifs").glob("*.cif"))) == len(rows(out / "samples.csv"))


def test_a_table_with_elements_a_broken_file_and_noise(pattern, library, tmp_path, capsys):
    x = np.arange(10, 80, 0.02)
    noise = np.random.default_rng(1).poisson(100, len(x))
    (tmp_path / "noise.xy").write_text("\n".join(f"{a:.3f} {b}" for a, b in zip(x, noise, strict=True)))
    (tmp_path / "broken.xy").write_text("5 1\n")
    table = tmp_path / "patterns.csv"
    table.write_text(f'id,pattern,elements\na,{pattern},"K,Cl"\nb,broken.xy,"K,Cl"\nc,noise.xy,"K,Cl"\n')
    arguments = ["solve", str(table), "--library", str(library), "-o", str(tmp_path / "out")]
    assert main(arguments) == 0
    found = rows(tmp_path / "out" / "samples.csv")
    assert next(row for row in found if row["reference_id"] == "a")["formula"] == "KCl"
    assert {row["reference_id"]: row["status"] for row in found} == {"a": "ok", "b": "unreadable", "c": "no pattern"}
    page = (tmp_path / "out" / "report.html").read_text()
    assert all(words in page for words in ('href="#p0">a</a>', 'bad">no pattern', 'bad">unreadable', "conventional cell"))
    before = (tmp_path / "out" / "samples.csv").read_bytes()
    assert main(arguments) == 0  # nothing is done twice
    assert (tmp_path / "out" / "samples.csv").read_bytes() == before


WRONG = {
    "nothing": ([], "either --formula"),
    "both": (["--formula", "KCl", "--elements", "K"], "either"),
    "element": (["--elements", "K,Xx"], "'Xx' is no element"),
    "wavelength": (["--formula", "KCl", "--wavelength", "CuKb"], "CuKa"),
    "formula": (["--formula", "K!"], "formula"),
    "number": (["--formula", "KCl", "-n", "0"], "at least one"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_requests(name, pattern, library, capsys):
    more, words = WRONG[name]
    assert main(["solve", str(pattern), "--library", str(library), *more]) == 2
    assert words in capsys.readouterr().err


def written(path, x, y):
    path.write_text("\n".join(f"{a:.5f} {b:.3f}" for a, b in zip(x, y, strict=True)))
    return str(path)


@pytest.fixture(scope="module")
def columns(pattern):
    return np.loadtxt(pattern).T


Q = 4 * np.pi / 1.5418
BAD = {  # a change of the columns, further words on the command line, the sentence
    "not monotonic": (lambda x, y: (np.concatenate([x, x]), np.concatenate([y, y])), [], "not monotonic at point"),
    "too short": (lambda x, y: (x[:30], y[:30]), [], "a pattern needs at least 50"),
    "too narrow": (lambda x, y: (x[1000:1200], y[1000:1200]), [], "too short for a pattern"),
    "negative": (lambda x, y: (x, y - 500), [], "negative intensity"),
    "in q": (lambda x, y: (Q * np.sin(np.deg2rad(x / 2)), y), [], "say --unit q or --unit d"),
    "in d": (lambda x, y: (1.5418 / 2 / np.sin(np.deg2rad(x / 2)), y), [], "--unit d"),
    "two theta as q": (lambda x, y: (x, y), ["--unit", "q"], "cannot be measured with"),
    "flat": (lambda x, y: (x, 0 * y + 7), [], "all intensities are 7"),
}


@pytest.mark.parametrize("command", ["solve", "predict", "pattern"])
@pytest.mark.parametrize("name", BAD)
def test_a_bad_pattern_gets_its_sentence(name, command, columns, library, tmp_path, capsys):
    change, more, words = BAD[name]
    path = written(tmp_path / "bad.xy", *change(*columns))
    asked = {
        "solve": ["solve", path, "--formula", "KCl", "--library", str(library)],
        "predict": ["predict", "KCl", "--pattern", path, "--library", str(library)], "pattern": ["pattern", path],
    }  # fmt: skip
    assert main([*asked[command], *more]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert "bad.xy" in said


def test_q_and_d_are_read_where_they_are_named(columns, library, tmp_path, capsys):
    x, y = columns
    for unit, values in (("q", Q * np.sin(np.deg2rad(x / 2))), ("d", 1.5418 / 2 / np.sin(np.deg2rad(x / 2)))):
        path = written(tmp_path / f"{unit}.xy", values, y)
        assert main(["solve", path, "--formula", "KCl", "--library", str(library), "--unit", unit, "--shown", "1"]) == 0
        assert "space group 225" in capsys.readouterr().out


def test_noise_a_mixture_and_a_wrong_wavelength_are_said(columns, library, tmp_path, capsys):
    x, y = columns
    binary(5.41, 30, 16, 0.25).write(tmp_path / "zns.cif")
    assert main(["pattern", str(tmp_path / "zns.cif"), "-o", str(tmp_path / "zns.xy")]) == 0
    other = np.loadtxt(tmp_path / "zns.xy").T[1]
    noise = np.random.default_rng(2).poisson(100, len(x))
    told = {}
    for name, counts in (("noise", noise), ("mixture", y + 50 * other)):
        path = written(tmp_path / f"{name}.xy", x, counts)
        assert main(["solve", path, "--formula", "KCl", "--library", str(library)]) == 0
        told[name] = capsys.readouterr().out
    assert "too few to tell crystals apart" in told["noise"]
    assert "a second phase" in told["mixture"]
    binary(6.29, 19, 17).write(tmp_path / "kcl.cif")
    assert main(["pattern", str(tmp_path / "kcl.cif"), "--wavelength", "CoKa", "-o", str(tmp_path / "cobalt.xy")]) == 0
    angle, curve = np.loadtxt(tmp_path / "cobalt.xy").T
    path = written(tmp_path / "unsaid.xy", angle, np.random.default_rng(3).poisson(50 * curve + 40))
    assert main(["solve", path, "--formula", "KCl", "--library", str(library)]) == 0
    assert "--wavelength CoKa" in capsys.readouterr().out


def test_predict_ranks_by_a_pattern(columns, library, tmp_path, capsys):
    path = written(tmp_path / "kcl.xy", *columns)
    assert main(["predict", "KCl", "--pattern", path, "--library", str(library), "-o", str(tmp_path / "out")]) == 0
    first = rows(tmp_path / "out" / "samples.csv")[0]
    assert first["space_group"] == "225"
    assert "explains" in first["why"]
    assert main(["predict", "KCl", "--pattern", path, "--model", "run"]) == 2
    assert "not both" in capsys.readouterr().err
