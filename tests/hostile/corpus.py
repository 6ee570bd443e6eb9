"""Broken structure files from one seed: mutations of good ones, and those that somebody thought of."""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from crystalfw.core.crystal import Crystal
from crystalfw.core.testing.crystals import small_crystals

PIECES = (
    "", " ", "\n", "\r", "\t", "0", "-1", "nan", "inf", "1e308", "-1e308", "1e-308", "999999999", "9" * 5000, "²", "٣", "'",
    '"', "'" * 3000, ";", "loop_", "data_", "_cell_length_a", "?", ".", "(3)", "é", "\x00", "\ufeff", "\u2028", "{", "[", "}",
    "]", ",", "X", "Og", "D", "x, y, z", "-x,-y,z+1/2", "#", "_symmetry_space_group_name_H-M 'F m -3 m'\n",
    "_symmetry_Int_Tables_number 225\n", "null", "true", "\\ud800", "<script>alert(1)</script>", "{{7*7}}",
    "=cmd|' /C calc'!A0", "../../../../etc/passwd", '"@module": "os", "@class": "system"', "__import__('os').abort()", "a=",
    "Lattice=", "Properties=species:S:²:pos:R:3", "%s%n",
)  # fmt: skip
SUFFIX = {"cif": ".cif", "poscar": ".vasp", "extxyz": ".extxyz", "json": ".json", "csv": ".csv"}


@dataclass(frozen=True)
class Hostile:
    """One file."""

    kind: str
    what: str
    name: str
    content: bytes


def crystals() -> list[Crystal]:
    """The small crystals and one of forty atoms."""
    rng = np.random.default_rng(0)
    return [*small_crystals(), Crystal(lattice=9.0 * np.eye(3), frac_coords=rng.random((40, 3)), numbers=[14] * 20 + [8] * 20)]


def text_of(kind: str, crystal: Crystal) -> str:
    """The crystal as a good file."""
    if kind == "cif":
        return crystal.cif()
    if kind == "poscar":
        from pymatgen.io.vasp import Poscar

        return str(Poscar(crystal.structure))
    if kind == "json":
        return json.dumps(crystal.structure.as_dict())
    if kind == "csv":
        return table([["good", crystal.cif(), "1.5"], ["also good", crystal.cif(), "2.5"]])
    cell = " ".join(repr(float(x)) for x in crystal.lattice.ravel())
    symbols = [str(site.specie) for site in crystal.structure]
    lines = [str(crystal.n_atoms), f'Lattice="{cell}" Properties=species:S:1:pos:R:3 energy=-1.0']
    lines += [f"{symbol} {x} {y} {z}" for symbol, (x, y, z) in zip(symbols, crystal.cart_coords.tolist(), strict=True)]
    return "\n".join(lines) + "\n"


def table(rows: list[list[str]], header: tuple[str, ...] = ("material_id", "cif", "gap")) -> str:
    """CSV text."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream)
    writer.writerow(header)
    writer.writerows(rows)
    return stream.getvalue()


def broken_files(count: int, seed: int = 0, *, large: bool = True) -> Iterator[Hostile]:
    """`count` files: first those that somebody thought of (without `large`, none above 1 MB), then mutations.

    The same for the same seed.
    """
    thought_of = list(special_files(large=large))
    rng = random.Random(seed)
    chosen = thought_of if count >= 2 * len(thought_of) else rng.sample(thought_of, count // 2)
    for number, item in enumerate(chosen):
        yield Hostile(item.kind, item.what, f"{number:04d}-{item.name}", item.content)
    texts = {kind: [text_of(kind, crystal).encode() for crystal in crystals()] for kind in SUFFIX}
    for number in range(len(chosen), count):
        kind = rng.choice(list(SUFFIX))
        what, content = mutated(rng.choice(texts[kind]), rng)
        yield Hostile(kind, what, f"{number:04d}{SUFFIX[kind]}", content)


def mutated(content: bytes, rng: random.Random) -> tuple[str, bytes]:
    """How it was broken, and the bytes."""
    what, change = rng.choice(list(_MUTATIONS.items()))
    for _ in range(rng.choice((1, 1, 2, 5))):
        content = change(content, rng)
    return what, content


def _pieces(content: bytes, rng: random.Random) -> bytes:
    start, length = rng.randrange(len(content) + 1), rng.choice((0, 0, 1, 5, 40, 400))
    return content[:start] + rng.choice(PIECES).encode("utf-8", "surrogatepass") + content[start + length :]


def _bits(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content or b"x")
    for _ in range(rng.choice((1, 3, 20))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _cut(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


def _lines(content: bytes, rng: random.Random) -> bytes:
    lines = content.split(b"\n")
    if rng.random() < 0.5:
        rng.shuffle(lines)
    else:
        lines.insert(rng.randrange(len(lines)), rng.choice(lines) * rng.choice((1, 2, 50)))
    return b"\n".join(lines)


def _numbers(content: bytes, rng: random.Random) -> bytes:
    words = content.split(b" ")
    places = [k for k, word in enumerate(words) if any(48 <= byte <= 57 for byte in word)]
    for k in rng.sample(places, min(len(places), rng.choice((1, 3)))):
        words[k] = rng.choice(
            (b"nan", b"-inf", b"1e400", b"1e308", b"-1", b"0", b"1e-300", b"99999999999999999999", b"0.333(4)", b"1_0")
        )
    return b" ".join(words)


def _encoding(content: bytes, rng: random.Random) -> bytes:
    return content.decode("utf-8", "replace").encode(rng.choice(("utf-16", "utf-32", "latin-1", "cp037", "utf-7")), "replace")


_MUTATIONS: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "pieces put in": _pieces, "bits flipped": _bits, "cut off": _cut, "lines moved": _lines, "numbers replaced": _numbers,
    "wrong encoding": _encoding,
}  # fmt: skip


# --- those that somebody thought of ------------------------------------------------------------------------------------


def cif(sites: list[str], a: float = 4.0, group: str = "P 1", number: int = 1, extra: str = "", name: str = "x") -> str:
    """A CIF with a cubic cell; a site is `label symbol x y z occupancy`."""
    listing = "\n".join(sites)
    return (
        f"data_{name}\n_cell_length_a {a}\n_cell_length_b {a}\n_cell_length_c {a}\n_cell_angle_alpha 90\n_cell_angle_beta 90\n"
        f"_cell_angle_gamma 90\n_symmetry_space_group_name_H-M '{group}'\n_symmetry_Int_Tables_number {number}\n{extra}"
        "loop_\n_atom_site_label\n_atom_site_type_symbol\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n"
        f"_atom_site_occupancy\n{listing}\n"
    )


def extxyz(atoms: list[str], lattice: str = "4 0 0 0 4 0 0 0 4", rest: str = "", count: int | None = None) -> str:
    """A frame of extended XYZ."""
    return "\n".join([str(len(atoms) if count is None else count), f'Lattice="{lattice}" {rest}', *atoms]) + "\n"


def poscar(counts: str, lattice: tuple[str, str, str] = ("4 0 0", "0 4 0", "0 0 4"), scale: str = "1", sites: str = "") -> str:
    """A POSCAR of one element."""
    return "\n".join(["x", scale, *lattice, "Na", counts, "direct", sites or "0 0 0"]) + "\n"


def structure(**changes: object) -> str:
    """A pymatgen structure as JSON with entries replaced."""
    return json.dumps(small_crystals()[0].structure.as_dict() | changes)


def special_files(*, large: bool = True) -> Iterator[Hostile]:
    """Every file that was ever found to crash, hang, fill the memory or run something here or elsewhere, and their cousins."""
    for kind, what, text in _special_texts(large):
        content = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
        yield Hostile(kind, what, f"special{SUFFIX[kind]}", content)


def _special_texts(large: bool) -> Iterator[tuple[str, str, str | bytes]]:
    yield from _cells()
    yield from _sites()
    if large:
        yield from _large()
    yield from _tricky()


def _cells() -> Iterator[tuple[str, str, str]]:
    atoms = ["Na 0 0 0", "Cl 2 2 2"]
    for what, rows in {
        "left-handed cell": ("4 0 0", "0 0 4", "0 4 0"), "zero volume": ("4 0 0", "4 0 0", "0 0 4"),
        "nearly zero volume": ("4 0 0", "4 1e-12 0", "0 0 4"), "cell of zeros": ("0 0 0", "0 0 0", "0 0 0"),
        "NaN in the cell": ("nan 0 0", "0 4 0", "0 0 4"), "infinite cell": ("inf 0 0", "0 4 0", "0 0 4"),
        "huge cell": ("1e300 0 0", "0 1e300 0", "0 0 1e300"), "tiny cell": ("1e-300 0 0", "0 1e-300 0", "0 0 1e-300"),
        "flat needle": ("1e-4 0 0", "0 1e-4 0", "0 0 9000"), "sheared cell": ("4 0 0", "4000 4 0", "4000 4000 4"),
    }.items():  # fmt: skip
        yield "extxyz", what, extxyz(atoms, " ".join(rows))
        yield "poscar", what, poscar("1", rows)
    for what, value in {"zero volume": 0, "NaN in the cell": float("nan"), "huge cell": 1e300, "cell below zero": -4}.items():
        yield "cif", what, cif(["Na1 Na 0 0 0 1"], value)
        yield "json", what, structure(lattice={"matrix": [[value, 0, 0], [0, value, 0], [0, 0, value]]})
    for angles in ("0", "180", "360", "nan", "1e9", "120"):
        yield "cif", "impossible angles", cif(["Na1 Na 0 0 0 1"]).replace(" 90\n", f" {angles}\n")
    for scale in ("0", "-64", "nan", "1e-300", "1 0 1"):
        yield "poscar", "odd scale", poscar("1", scale=scale)


def _sites() -> Iterator[tuple[str, str, str]]:
    yield "cif", "duplicate sites", cif(["Na1 Na 0 0 0 1"] * 5)
    yield "cif", "two elements on one site", cif(["Na1 Na 0 0 0 1", "Cl1 Cl 0 0 0 1"])
    yield "extxyz", "duplicate sites", extxyz(["Na 0 0 0"] * 5)
    yield "extxyz", "atoms a hair apart", extxyz(["Na 0 0 0", "Na 1e-9 0 0"])
    yield "poscar", "duplicate sites", poscar("3", sites="0 0 0\n0 0 0\n0 0 0")
    yield "cif", "partial occupancy", cif(["Na1 Na 0 0 0 0.5", "K1 K 0 0 0 0.5"])
    yield "cif", "occupancy above 1", cif(["Na1 Na 0 0 0 7"])
    yield "cif", "occupancy below 0", cif(["Na1 Na 0 0 0 -1"])
    yield "cif", "no element", cif(["Q1 Qq 0 0 0 1"])
    yield "cif", "coordinates that are no numbers", cif(["Na1 Na ? . nan 1"])
    yield "cif", "absurd coordinates", cif(["Na1 Na 1e300 -1e300 1e17 1"])
    half = [{"element": "Na", "occu": 0.5}, {"element": "K", "occu": 0.5}]
    for what, site in {
        "partial occupancy": {"species": half, "abc": [0, 0, 0], "label": "Na1"},
        "script in a label": {"species": half, "abc": [0, 0, 0], "label": "<script>alert(1)</script>"},
        "lone surrogate in a label": {"species": half, "abc": [0, 0, 0], "label": "\ud800"},
        "element ²": {"species": [{"element": "²", "occu": 1}], "abc": [0, 0, 0]},
        "element 999999999999": {"species": [{"element": "999999999999", "occu": 1}], "abc": [0, 0, 0]},
        "element 0": {"species": [{"element": "0", "occu": 1}], "abc": [0, 0, 0]},
        "species is text": {"species": "Na", "abc": [0, 0, 0]}, "species is empty": {"species": [], "abc": [0, 0, 0]},
        "coordinates nested": {"species": [{"element": "Na", "occu": 1}], "abc": [[0], 0, 0]},
        "coordinates huge": {"species": [{"element": "Na", "occu": 1}], "abc": [10**400, 0, 0]},
    }.items():  # fmt: skip
        yield "json", what, structure(sites=[site])


def _large() -> Iterator[tuple[str, str, str]]:
    million = 1_000_000
    yield "extxyz", "a million atoms", extxyz(["Na 0.1 0.1 0.1"] * million)
    yield "extxyz", "says a million atoms", extxyz(["Na 0 0 0"], count=million)
    yield "poscar", "a million atoms", poscar(str(million), sites="0.1 0.1 0.1\n" * million)
    for count in ("100000000", "1000000000000", "9" * 5000, "-5", "1.5"):
        yield "poscar", "says a billion atoms", poscar(count)
    yield "cif", "a million atoms", cif(["Na1 Na 0.1 0.1 0.1 1"] * million)
    yield "json", "a hundred thousand atoms", structure(sites=small_crystals()[0].structure.as_dict()["sites"] * 50_000)
    rng = random.Random(0)
    scattered = [f"Na{k} Na {rng.random():.4f} {rng.random():.4f} {rng.random():.4f} 1" for k in range(2000)]
    yield "cif", "symmetry that expands without end", cif(scattered, 500.0, "Fm-3m", 225)
    operations = "loop_\n_symmetry_equiv_pos_as_xyz\n" + "".join(f"'x+{k}/9999,y,z'\n" for k in range(9999))
    yield "cif", "ten thousand symmetry operations", cif(scattered[:500], 500.0, extra=operations)
    yield (
        "cif",
        "a thousand data blocks",
        "".join(cif(["Na1 Na 0 0 0 1"], name=f"b{k}", group="Fm-3m", number=225) for k in range(1000)),
    )
    yield "cif", "a word of 900 kB", cif(["Na1 Na 0 0 0 1"], extra=f"_title {'a' * 900_000}\n")
    for quote in ("'", '"', "' ", '" '):
        yield "cif", "900 kB of quotation marks", cif(["Na1 Na 0 0 0 1"], extra=f"_title {quote * (900_000 // len(quote))}\n")
    yield "cif", "text field that never ends", cif(["Na1 Na 0 0 0 1"], extra="_title\n;" + "\nx" * 400_000)
    yield "extxyz", "a word of 10 MB", extxyz(["Na 0 0 0"], rest="a" * 10_000_000)
    yield "extxyz", "quotes that never close", extxyz(["Na 0 0 0"], rest='k="' * 1_000_000)
    yield "extxyz", "a hundred thousand properties", extxyz(["Na 0 0 0"], rest=" ".join(f"p{k}=1" for k in range(100_000)))
    yield "extxyz", "a property's name of 100 kB", extxyz(["Na 0 0 0"], rest="p" * 100_000 + "=1")
    yield "json", "nested ten thousand deep", "[" * 10_000 + "]" * 10_000
    yield "json", "nested within", '{"lattice": {"matrix": ' + "[" * 5_000 + "]" * 5_000 + '}, "sites": []}'
    yield "json", "a number of 5000 digits", structure(charge=0).replace('"charge": 0', '"charge": ' + "9" * 5000)
    yield "csv", "field of 10 MB", table([["a", "x" * 10_000_000, "1"]])
    yield "csv", "number of 10 MB", table([["a", small_crystals()[0].cif(), "1" * 10_000_000]])
    yield "csv", "id of 10 MB", table([["i" * 10_000_000, small_crystals()[0].cif(), "1"]])
    yield "csv", "quote that never closes", 'material_id,cif,gap\na,"' + "x\n" * 9_000_000
    yield "csv", "line of 80 MB", "material_id,cif,gap\n" + "x" * 80_000_000
    yield "csv", "a hundred thousand columns", ",".join(f"c{k}" for k in range(100_000)) + "\n"
    yield "csv", "embedding of 10 MB", table([["a", small_crystals()[0].cif(), "[" * 10_000_000]], ("id", "cif", "embedding"))


def _tricky() -> Iterator[tuple[str, str, str | bytes]]:
    code = "[open('executed', 'w') for _ in [1]]"
    transform = f"_space_group_magn.transform_BNS_Pp_abc 'a,b,{code};0,0,0'\n_space_group_magn.number_BNS 62.448\n"
    yield "cif", "code in a magnetic transform (CVE-2024-23346)", cif(["Na1 Na 0 0 0 1"], extra=transform)
    yield (
        "cif",
        "code in a symmetry operation",
        cif(["Na1 Na 0 0 0 1"], extra=f'loop_\n_symmetry_equiv_pos_as_xyz\n"x,y,{code}"\n'),
    )
    module = {"@module": "os", "@class": "system", "command": "touch executed"}
    yield "json", "module named in JSON", structure(**module, properties={"x": module})
    yield "json", "not a structure", json.dumps(module)
    yield "extxyz", "columns ²", extxyz(["Na 0 0 0"], rest="Properties=species:S:²:pos:R:3")
    yield "extxyz", "columns without end", extxyz(["Na 0 0 0"], rest="Properties=species:S:99999999999999999999:pos:R:3")
    yield "extxyz", "element ²", extxyz(["² 0 0 0"])
    yield "extxyz", "no lattice", "1\n\nNa 0 0 0\n"
    yield "extxyz", "no atoms", '0\nLattice="4 0 0 0 4 0 0 0 4"\n'
    script = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    yield "csv", "script in an id", table([[script, small_crystals()[0].cif(), "1"]])
    yield "csv", "script in a column", table([["a", small_crystals()[0].cif(), "1"]], ("id", "cif", script))
    yield "csv", "formula of a spreadsheet", table([["=cmd|' /C calc'!A0", small_crystals()[0].cif(), "1"]])
    yield "csv", "columns twice", "id,cif,cif\na,b,c\n"
    yield "csv", "no header", "\n\n\n"
    yield "csv", "NUL bytes", b"id,cif\na,\x00\x00\x00\n"
    for kind, suffix in SUFFIX.items():
        yield kind, "empty file", b""
        yield kind, "only zeros", b"\x00" * 100_000
        yield kind, "binary noise", random.Random(suffix).randbytes(100_000)
        yield kind, "only line breaks", b"\n" * 200_000
        yield kind, "UTF-16", text_of(kind, small_crystals()[0]).encode("utf-16")
        yield kind, "lone continuation bytes", text_of(kind, small_crystals()[0]).encode() + b"\x80\xbf"
