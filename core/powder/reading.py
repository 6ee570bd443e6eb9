"""Measured patterns from files: columns of text (.xy, .xye, .csv, .dat, .txt, ...) and PANalytical's .xrdml.

Reading is bounded in bytes and points; XML with a document type or entities is refused, so that no file can expand or reach
for another one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from xml.parsers import expat

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.errors import DataError
from crystalfw.core.powder.pattern import Pattern, checked
from crystalfw.core.powder.radiation import Radiation, radiation
from crystalfw.core.system.bounded_text import printable

FloatArray = NDArray[np.float64]

DEFAULT_WAVELENGTH = "CuKa"
TEXT = (".xy", ".xye", ".csv", ".dat", ".txt", ".asc", ".chi", ".tsv")
ENDINGS = (*TEXT, ".xrdml")
BINARY = {
    ".raw": "the maker's binary format has several versions", ".brml": "an archive of the maker's own",
    ".rd": "the maker's binary format", ".sd": "the maker's binary format", ".uxd": "the maker's text format",
}  # fmt: skip
MAX_BYTES = 64 * 1024 * 1024
MAX_POINTS = 500_000
_WAVELENGTH = re.compile(r"wave\s*-?length\s*[:=]?\s*\(?[^\d\n]{0,12}(\d+\.\d+)", re.IGNORECASE)
_COMMENT = ("#", "!", ";", "'", "/", "*", "%", '"')
_HEADER_LINES = 500


def read_pattern(path: str | Path, *, wavelength: str | float | None = None, unit: str = "2theta") -> Pattern:
    """A measured pattern. `wavelength` overrides what the file says; without either it is Cu K-alpha.

    Raises DataError with a sentence for a file that cannot be read or holds no pattern.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    if ending in BINARY:
        raise DataError(f"{path}: {ending} cannot be read ({BINARY[ending]}); export the pattern as .xy or .xrdml")
    if ending not in ENDINGS:
        raise DataError(f"{path}: ending '{ending}' is no pattern's; there are {', '.join(ENDINGS)}")
    if path.stat().st_size > MAX_BYTES:
        raise DataError(f"{path}: {path.stat().st_size:,} bytes; at most {MAX_BYTES:,} are read")
    data = path.read_bytes()
    x, y, said = _xrdml(data, path) if ending == ".xrdml" else _columns(data, path)
    chosen = radiation(wavelength) if wavelength is not None else said or radiation(DEFAULT_WAVELENGTH)
    return checked(x, y, chosen, unit=unit, name=str(path))


def _columns(data: bytes, path: Path) -> tuple[FloatArray, FloatArray, Radiation | None]:
    if b"\0" in data[:4096]:
        raise DataError(f"{path}: a binary file; export the pattern as text with two columns")
    text = data.decode("utf-8-sig", errors="replace")
    rows: list[tuple[float, float]] = []
    header = 0
    for number, line in enumerate(text.splitlines(), start=1):
        fields = _fields(line)
        if not fields:
            continue
        numbers = _numbers(fields)
        if numbers is not None:
            rows.append(numbers)
            if len(rows) > MAX_POINTS:
                raise DataError(f"{path}: more than {MAX_POINTS:,} points")
        elif rows:
            raise DataError(f"{path}, line {number}: '{printable(line.strip(), 60)}' is no pair of numbers")
        else:
            header += 1
            if header > _HEADER_LINES:
                raise DataError(f"{path}: no pair of numbers in the first {_HEADER_LINES} lines; it holds no pattern")
    found = _WAVELENGTH.search(text[:20_000])
    said = radiation(found[1]) if found and 0.1 <= float(found[1]) <= 5 else None
    values = np.array(rows, dtype=np.float64).reshape(-1, 2)
    return values[:, 0], values[:, 1], said


def _fields(line: str) -> list[str]:
    """The columns of a line; none for a blank line or comment. A comma is a decimal sign where another sign separates."""
    line = line.strip()
    if not line or line.startswith(_COMMENT):
        return []
    if ";" in line or ("\t" in line and "," in line):
        return [field.strip().replace(",", ".") for field in re.split(r"[;\t]", line) if field.strip()]
    return [field for field in re.split(r"[,\s]+", line) if field]


def _numbers(fields: list[str]) -> tuple[float, float] | None:
    try:
        return float(fields[0]), float(fields[1])
    except (ValueError, IndexError):
        return None


def _xrdml(data: bytes, path: Path) -> tuple[FloatArray, FloatArray, Radiation | None]:
    """First scan of an .xrdml file: start and end of 2Theta, and counts or intensities."""
    found = dict(_texts(data, path))
    try:
        counts = np.array(found["counts"].split() if "counts" in found else found["intensities"].split(), dtype=np.float64)
        if "listPositions" in found:
            x = np.array(found["listPositions"].split(), dtype=np.float64)
        else:
            x = np.linspace(float(found["startPosition"]), float(found["endPosition"]), len(counts))
    except KeyError as error:
        raise DataError(f"{path}: no scan over 2Theta in it ({error.args[0]} is missing)") from error
    except ValueError as error:
        raise DataError(f"{path}: damaged: {printable(str(error))}") from error
    if len(x) != len(counts):
        raise DataError(f"{path}: {len(x)} angles and {len(counts)} intensities")
    return x, counts, _said(found)


def _said(found: dict[str, str]) -> Radiation | None:
    """The radiation of an .xrdml file: K-alpha 1 alone where the file asks for it, otherwise the doublet."""
    try:
        first, second = float(found["kAlpha1"]), float(found["kAlpha2"])
        ratio = float(found.get("ratioKAlpha2KAlpha1", 0.5))
        if found.get("intended") == "K-Alpha 1" or not (0 < ratio < 5 and 0.1 < second < 5):
            return radiation(first)
        return Radiation(f"{first:g} and {second:g} A", (first, second), (1 / (1 + ratio), ratio / (1 + ratio)))
    except (KeyError, ValueError, DataError):
        return None


def _texts(data: bytes, path: Path) -> Iterator[tuple[str, str]]:
    """(element, text) of the first scan that has 2Theta positions."""
    wanted = {"counts", "intensities", "startPosition", "endPosition", "listPositions", "kAlpha1", "kAlpha2",
              "ratioKAlpha2KAlpha1"}  # fmt: skip
    found: dict[str, str] = {}
    open_names: list[str] = []
    axis = ""

    def refuse(*_: object) -> None:
        raise DataError(f"{path}: an XML file with a document type or entities; refused")

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal axis
        name = name.rsplit(":", 1)[-1]
        open_names.append(name)
        if len(open_names) > 100:
            raise DataError(f"{path}: XML nested more than 100 deep; refused")
        if name == "positions":
            axis = attributes.get("axis", "")
        if name == "usedWavelength":
            found.setdefault("intended", attributes.get("intended", ""))

    pieces: list[str] = []

    def text(piece: str) -> None:
        if open_names and open_names[-1] in wanted:
            pieces.append(piece)

    def end(name: str) -> None:
        name = open_names.pop()
        if name in wanted and (not name.endswith(("Position", "Positions")) or axis == "2Theta"):
            found.setdefault(name, "".join(pieces))
        pieces.clear()

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    parser.ExternalEntityRefHandler = refuse  # type: ignore[assignment]
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise DataError(f"{path}: no XML that can be read: {error}") from error
    yield from found.items()
