"""Measured patterns: every format read, every broken file refused with its sentence."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crystalfw.core.errors import DataError
from crystalfw.core.powder.reading import read_pattern

X = np.arange(10, 30, 0.1)
Y = 10 + 100 * np.exp(-(((X - 20) / 0.3) ** 2))


def rows(x=X, y=Y, form="{:.4f} {:.3f}"):
    return "\n".join(form.format(a, b) for a, b in zip(x, y, strict=True)) + "\n"


FORMS = {
    "a.xy": rows(), "a.csv": "two theta,counts\n" + rows(form="{:.4f},{:.3f}"), "a.xye": rows(form="{:.4f} {:.3f} 1.0"),
    "a.dat": "# a comment\n\n" + rows(form="{:.4f}\t{:.3f}"), "b.csv": rows(form="{:.4f};{:.3f}").replace(".", ","),
    "a.txt": "##NAMES=Halite\n##X-RAY WAVELENGTH=1.541838\n" + rows(form="{:.4f}, {:.3f}") + "##END=\n",
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_reads(name, tmp_path):
    (tmp_path / name).write_text(FORMS[name])
    pattern = read_pattern(tmp_path / name)
    np.testing.assert_allclose(pattern.two_theta, X, atol=1e-4)
    np.testing.assert_allclose(pattern.intensity, Y, atol=1e-3)
    assert pattern.radiation.wavelengths == ((1.541838,) if name == "a.txt" else (1.54059292, 1.5444274))
    assert read_pattern(tmp_path / name, wavelength="CoKa").radiation.name == "CoKa"


COUNTS = " ".join(map(str, np.rint(Y).astype(int)))


def xrdml(counts=COUNTS, head=""):
    return f"""<?xml version="1.0"?>{head}<xrdMeasurements xmlns="http://www.xrdml.com/XRDMeasurement/1.0"><xrdMeasurement>
    <usedWavelength intended="K-Alpha"><kAlpha1>1.78901</kAlpha1><kAlpha2>1.79290</kAlpha2>
    <ratioKAlpha2KAlpha1>0.5</ratioKAlpha2KAlpha1></usedWavelength>
    <scan><dataPoints><positions axis="2Theta"><startPosition>10.0</startPosition><endPosition>29.9</endPosition></positions>
    <positions axis="Omega"><startPosition>5.0</startPosition><endPosition>15.0</endPosition></positions>
    <counts unit="counts">{counts}</counts></dataPoints></scan></xrdMeasurement></xrdMeasurements>"""


def test_reads_xrdml(tmp_path):
    (tmp_path / "a.xrdml").write_text(xrdml())
    pattern = read_pattern(tmp_path / "a.xrdml")
    np.testing.assert_allclose(pattern.two_theta, X)
    assert pattern.radiation.wavelengths == (1.78901, 1.7929)


BOMB = '<!DOCTYPE a [<!ENTITY x "xxxxxxxxxx"><!ENTITY y "&x;&x;&x;">]>'
WRONG = {
    "none.raw": ("RAW1.01", "export the pattern as .xy"),
    "two.xy": (rows() + rows(), "not monotonic at point 201"),
    "short.xy": (rows(X[:20], Y[:20]), "20 points"),
    "narrow.xy": (rows(X / 10 + 20), "too short"),
    "negative.xy": (rows(y=Y - 60), "negative intensity"),
    "flat.xy": (rows(y=0 * Y + 5), "all intensities are 5"),
    "q.xy": (rows(X / 3.0 - 2), "--unit q"),
    "d.xy": (rows(0.7709 / np.sin(np.deg2rad(np.linspace(2.5, 45, 400))), 1 + np.arange(400)), "--unit d"),
    "letters.xy": (rows() + "oops here\n", "line 201: 'oops here'"),
    "empty.csv": ("", "0 points"),
    "binary.xy": ("\0\1\2", "binary"),
    "prose.txt": ("no numbers here\n" * 600, "holds no pattern"),
    "nan.xy": (rows(y=np.where(X > 20, np.nan, Y)), "is no number"),
    "x.docx": ("", "ending '.docx'"),
    "bomb.xrdml": (xrdml(head=BOMB), "document type"),
    "torn.xrdml": (xrdml()[:300], "no XML"),
    "noscan.xrdml": ("<a><b/></a>", "no scan"),
    "words.xrdml": (xrdml("1 2 x"), "damaged"),
    "big.xy": (rows(10 * X), "angles end at 180"),
}


@pytest.mark.parametrize("name", WRONG)
def test_refuses(name, tmp_path):
    content, words = WRONG[name]
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=words) as caught:
        read_pattern(tmp_path / name)
    assert name in str(caught.value)


def test_units(tmp_path):
    q = 4 * np.pi * np.sin(np.deg2rad(X / 2)) / 1.5
    (tmp_path / "q.xy").write_text(rows(q, form="{:.8f} {:.3f}"))
    (tmp_path / "d.xy").write_text(rows((2 * np.pi / q)[::-1], Y[::-1], form="{:.8f} {:.3f}"))
    for unit in ("q", "d"):
        pattern = read_pattern(tmp_path / f"{unit}.xy", unit=unit, wavelength=1.5)
        np.testing.assert_allclose(pattern.two_theta, X, atol=1e-4)
    (tmp_path / "q.xy").write_text(rows(2 * q, form="{:.8f} {:.3f}"))
    with pytest.raises(DataError, match="cannot be measured with 5 angstrom"):
        read_pattern(tmp_path / "q.xy", unit="q", wavelength=5.0)


def test_says_what_it_changed(tmp_path):
    (tmp_path / "a.xy").write_text(rows(X[::-1], (Y - 11)[::-1]))
    pattern = read_pattern(tmp_path / "a.xy")
    assert "descends" in pattern.notes[0]
    assert "set to zero" in pattern.notes[1]
    assert (np.diff(pattern.two_theta) > 0).all()


@given(st.binary(max_size=300), st.sampled_from([".xy", ".csv", ".xrdml"]))
@settings(max_examples=60, deadline=None)
def test_any_bytes_end_in_a_sentence(tmp_path_factory, content, ending):
    path = tmp_path_factory.mktemp("bytes") / f"a{ending}"
    path.write_bytes(content)
    with pytest.raises(DataError):
        read_pattern(path)
