"""Zips and gzip files that climb out, explode or lie."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from pathlib import Path

from crystalfw.core.errors import DataError
from crystalfw.core.testing.crystals import small_crystals
from tests.hostile.others.registry import attack, read, refused


@attack("zip: paths that climb out")
def climbing(folder: Path) -> None:
    names = ["../out.cif", "a/../../out.cif", "/out.cif", "\\out.cif", "..\\out.cif", "C:\\out.cif", "C:out.cif", "good.cif"]
    inner = folder / "a" / "b"
    inner.mkdir(parents=True)
    with zipfile.ZipFile(inner / "x.zip", "w") as archive:
        for name in names:
            archive.writestr(name, small_crystals()[0].cif())
    crystals, reasons = read(inner / "x.zip")
    assert len(crystals) == 1
    assert len(reasons) == 7
    assert set(reasons) == {"path leads out of the zip"}
    assert [path.name for path in folder.rglob("*") if path.is_file()] == ["x.zip"]


@attack("zip: bombs")
def bombs(folder: Path) -> None:
    with zipfile.ZipFile(folder / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.cif", b"\0" * 15_000_000)
        archive.writestr("large.cif", b"\0" * 100_000_000)
        archive.writestr("good.cif", small_crystals()[0].cif())
    crystals, reasons = read(folder / "x.zip")
    assert len(crystals) == 1
    assert sorted(reason.split(":")[0] for reason in reasons) == ["too large", "zip bomb"]


@attack("zip: claims 200 GB")
def claims(folder: Path) -> None:
    with zipfile.ZipFile(folder / "x.zip", "w") as archive:
        for k in range(100):
            archive.writestr(f"{k}.cif", b"x")
    _patch_sizes(folder / "x.zip", 2_000_000_000)
    assert "refused" in refused(DataError, read, folder / "x.zip")


@attack("zip: sizes that lie")
def lies(folder: Path) -> None:
    with zipfile.ZipFile(folder / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.cif", b"\0" * 100_000_000)
    _patch_sizes(folder / "x.zip", 1000)
    assert len(read(folder / "x.zip")[1]) == 1


@attack("zip: other packing methods, a locked member, a nested zip")
def methods(folder: Path) -> None:
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        with zipfile.ZipFile(folder / f"{method}.zip", "w", method) as archive:
            archive.writestr("a.cif", small_crystals()[0].cif())
        assert read(folder / f"{method}.zip")[1] == ["packed with a method other than deflate"]
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("a.cif", "x")
    with zipfile.ZipFile(folder / "nested.zip", "w") as archive:
        archive.writestr("inner.zip", inner.getvalue())
    refused(DataError, read, folder / "nested.zip")


@attack("zip: names that are no text")
def no_text(folder: Path) -> None:
    with zipfile.ZipFile(folder / "x.zip", "w") as archive:
        archive.writestr("ééé.cif", small_crystals()[0].cif())
    content = (folder / "x.zip").read_bytes().replace("ééé.cif".encode(), b"\xff\xfe\xff\xfe\xff\xfe.cif")
    (folder / "x.zip").write_bytes(content)
    refused(DataError, read, folder / "x.zip")


@attack("gzip: a table that unpacks to one line of 300 MB")
def gzip_bomb(folder: Path) -> None:
    with gzip.open(folder / "x.csv.gz", "wb", compresslevel=6) as stream:
        stream.write(b"id,cif\n")
        for _ in range(300):
            stream.write(b"x" * 1_000_000)
    assert "a line of more than" in refused(DataError, read, folder / "x.csv.gz")


def _patch_sizes(path: Path, size: int) -> None:
    """Write another unpacked size into every entry of a zip's directory and in front of every member."""
    content = bytearray(path.read_bytes())
    for magic, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        at = content.find(magic)
        while at >= 0:
            struct.pack_into("<I", content, at + offset, size)
            at = content.find(magic, at + 4)
    path.write_bytes(content)
