"""Powder patterns: compute that of a crystal, or pick the peaks of a measured one.

  crystalfw pattern crystal.cif -o computed.xy                   a profile from 5 to 90 degrees, Cu K-alpha
  crystalfw pattern crystal.cif --wavelength CoKa --lines l.csv   the lines: d, two theta, intensity, h, k, l
  crystalfw pattern crystal.cif --plot                            a picture beside it, crystal.pattern.svg
  crystalfw pattern measured.xy --plot --lines peaks.csv          background, K-alpha 2 removal and peaks of a measurement

Measured patterns: two columns in .xy, .xye, .csv, .dat, .txt, or PANalytical's .xrdml. The first column is two theta in
degrees; --unit q (1/angstrom) or --unit d (angstrom) says otherwise.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crystalfw.core.powder.picture import Curve, Marks

SHOWN = 20


def add_measured(parser: argparse.ArgumentParser) -> None:
    """`--wavelength` and `--unit`, as every command takes them that reads a measured pattern."""
    parser.add_argument("--wavelength", help="CuKa, CuKa1, CoKa, MoKa, ..., or angstrom (default: the file's, or CuKa)")
    parser.add_argument(
        "--unit", choices=("2theta", "q", "d"), default="2theta", help="what the first column is (default 2theta)"
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `crystalfw pattern`."""
    parser.add_argument("file", metavar="FILE", help="a crystal (.cif, POSCAR, ...) or a measured pattern")
    add_measured(parser)
    parser.add_argument("-o", "--out", metavar="FILE.xy", help="write the curve: .xy, .dat, .txt or .csv")
    parser.add_argument("--lines", metavar="FILE.csv", help="write the lines or peaks as a table")
    parser.add_argument("--plot", nargs="?", const="", metavar="FILE.svg", help="draw it (default: FILE with .pattern.svg)")
    parser.add_argument("--from", dest="low", type=float, default=5.0, help="first angle, two theta in degrees (default 5)")
    parser.add_argument("--to", dest="high", type=float, default=90.0, help="last angle (default 90)")
    parser.add_argument("--step", type=float, default=0.02, help="step of a computed curve (default 0.02)")
    parser.add_argument("--width", type=float, default=0.1, help="full width of its peaks at half maximum (default 0.1)")
    parser.add_argument("--b-iso", type=float, default=0.0, help="displacement factor B of all atoms (default 0)")


def run(args: argparse.Namespace) -> int:
    """Compute or pick; 0."""
    from crystalfw.core.powder.reading import BINARY, ENDINGS

    measured = Path(args.file).suffix.lower() in {*ENDINGS, *BINARY}
    return _measured(args) if measured else _computed(args)


def _computed(args: argparse.Namespace) -> int:
    import numpy as np

    from crystalfw.core.crystal import Crystal
    from crystalfw.core.errors import ConditionError
    from crystalfw.core.powder.lines import powder_lines
    from crystalfw.core.powder.picture import Curve, Marks
    from crystalfw.core.powder.profile import Shape, profile
    from crystalfw.core.powder.radiation import radiation
    from crystalfw.core.powder.writing import write_columns, write_pattern

    if not (1e-4 <= args.step <= 1 and 1e-3 <= args.width <= 5):
        raise ConditionError("--step from 0.0001 to 1 degree and --width from 0.001 to 5 degrees")
    chosen, crystal = radiation(args.wavelength or "CuKa"), Crystal.from_file(args.file)
    lines = powder_lines(crystal, chosen.mean, (args.low, args.high), b_iso=args.b_iso, least=1e-3)
    grid = np.arange(args.low, args.high + args.step / 2, args.step)
    curve = profile(lines, grid, chosen, Shape(width=args.width))
    curve = 100 * curve / (curve.max() or 1.0)
    print(f"{args.file}: {crystal.formula}, {len(lines)} lines from {args.low:g} to {args.high:g} degrees, {chosen.name}")
    if args.out:
        write_pattern(args.out, grid, curve, f"{crystal.formula}, {chosen.name}, computed")
    if args.lines:
        h, k, ell = lines.hkl.T.tolist()
        columns = {"d": [f"{d:.6f}" for d in lines.d], "two_theta": [f"{x:.5f}" for x in lines.two_theta],
                   "intensity": [f"{i:.4f}" for i in lines.intensity], "h": h, "k": k, "l": ell}  # fmt: skip
        write_columns(args.lines, columns)
    if not (args.out or args.lines or args.plot is not None):
        for line in np.argsort(-lines.intensity, kind="stable")[:SHOWN]:
            print(f"  {lines.two_theta[line]:9.4f}  d {lines.d[line]:8.4f}  {lines.intensity[line]:6.1f}  {lines.hkl[line]}")
    strong = lines.intensity > 0.1
    _draw(args, [Curve("computed", grid, curve, "computed")], [Marks("lines", lines.two_theta[strong])], crystal.formula)
    return 0


def _measured(args: argparse.Namespace) -> int:
    import numpy as np

    from crystalfw.core.powder.peaks import find_peaks
    from crystalfw.core.powder.picture import Curve, Marks
    from crystalfw.core.powder.reading import read_pattern
    from crystalfw.core.powder.writing import write_columns, write_pattern

    pattern = read_pattern(args.file, wavelength=args.wavelength, unit=args.unit)
    peaks = find_peaks(pattern)
    ends = f"{pattern.two_theta[0]:.4g} to {pattern.two_theta[-1]:.4g} degrees"
    print(f"{args.file}: {len(pattern.two_theta):,} points from {ends}, {pattern.radiation.name}; {len(peaks)} peaks")
    for note in pattern.notes:
        print(f"  {note}")
    d = pattern.radiation.wavelengths[0] / 2 / np.sin(np.deg2rad(peaks.two_theta / 2))
    top = peaks.area.max() if len(peaks) else 1.0
    if args.out:
        write_pattern(args.out, pattern.two_theta, peaks.net, f"{args.file} without background and K-alpha 2")
    if args.lines:
        numbers = {"d": d, "two_theta": peaks.two_theta, "intensity": 100 * peaks.area / top, "width": peaks.width}
        columns = {name: [f"{x:.5f}" for x in values] for name, values in numbers.items()}
        write_columns(args.lines, columns)
    if not (args.out or args.lines or args.plot is not None):
        for peak in np.argsort(-peaks.area, kind="stable")[:SHOWN]:
            size = f"{100 * peaks.area[peak] / top:6.1f}  width {peaks.width[peak]:.3f}"
            print(f"  {peaks.two_theta[peak]:9.4f}  d {d[peak]:8.4f}  {size}")
    curves = [Curve("measured", pattern.two_theta, pattern.intensity),
              Curve("background", pattern.two_theta, peaks.background, "background"),
              Curve("net, K-alpha 1", pattern.two_theta, peaks.net, "difference")]  # fmt: skip
    _draw(args, curves, [Marks("peaks", peaks.two_theta)], Path(args.file).name)
    return 0


def _draw(args: argparse.Namespace, curves: list[Curve], marks: list[Marks], title: str) -> None:
    from crystalfw.core.powder.picture import pattern_picture

    if args.plot is None:
        return
    path = Path(args.plot or Path(args.file).with_suffix(".pattern.svg"))
    path.write_text(pattern_picture(curves, marks, title=title), encoding="utf-8")
    print(f"{path}: the picture")
