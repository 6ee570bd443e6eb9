"""A fuzz target for every parser, driven by hypothesis: whatever the bytes, an answer or a CrystalfwError.

Targets get either text grown from a good example by mutation (the parsers' insides) or arbitrary text (their doors).
"""

from __future__ import annotations

import hashlib
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from crystalfw.core.crystal import Crystal
from crystalfw.core.data.block import load_block, make_block, save_block
from crystalfw.core.data.shard import Job, process
from crystalfw.core.errors import CrystalfwError
from crystalfw.core.model import checkpoint
from crystalfw.core.recipe import load_recipe
from crystalfw.core.recipe.options import create
from crystalfw.core.sample.table import read_samples
from crystalfw.core.system.resumable_csv import RowFile
from crystalfw.core.testing.crystals import small_crystals
from tests.hostile.corpus import PIECES, crystals, table, text_of

SLOW = 10.0
"""CPU seconds after which an example counts as a hang: the examples are small."""
Target = Callable[[Path, bytes], None]


def _source(name: str, suffix: str) -> Target:
    """A structure file or table through everything that preparation does."""

    def run(folder: Path, content: bytes) -> None:
        path = folder / f"x{suffix}"
        path.write_bytes(content)
        source = create("source", name, path=str(path))
        slices = create("representation", "slices")
        transforms = tuple(create("transform", t) for t in ("standardize", "normalize_positions"))
        job = Job(source=source, transforms=transforms, representation=slices, cutoff=4.0, max_atoms=64, seed=0, cut=())
        records = list(source.records("train"))
        block = process(job, "train", 0, records)
        assert len(block.part) + len(block.rejected) == len(records), "a row was lost"
        for item in block.rejected:
            assert item.reason, "no reason"
            assert not item.reason.startswith("parser failed"), item.reason
            (item.file + item.id + item.reason).encode()

    return run


def _recipe(folder: Path, content: bytes) -> None:
    (folder / "x.yaml").write_bytes(content)
    load_recipe(folder / "x.yaml")


def _slices(folder: Path, content: bytes) -> None:
    del folder
    text = content.decode("utf-8", "replace")
    (outcome,) = create("representation", "slices").decode([text])
    assert (outcome.crystal is None) == bool(outcome.reason), "neither crystal nor reason"


def _checkpoint(folder: Path, content: bytes) -> None:
    path = folder / "x.pt"
    path.write_bytes(content)
    checkpoint.is_whole(path)
    checkpoint.load(path)


def _checkpoint_body(folder: Path, content: bytes) -> None:
    """With the right checksum, as a stranger would send it."""
    body = content.partition(b"\n")[2]
    _checkpoint(folder, b"%s 1 %s\n" % (checkpoint.MAGIC, hashlib.sha256(body).hexdigest().encode()) + body)


def _row_file(folder: Path, content: bytes) -> None:
    request, _, rows = content.partition(b"\0\0")
    (folder / "x.csv").write_bytes(rows)
    (folder / "x.csv.request.json").write_bytes(request)
    with RowFile(folder / "x.csv", ("id", "value"), {"a": 1}) as out:
        out.append([["last", "row"]])
    assert (folder / "x.csv").read_bytes().endswith(b"last,row\n")


def _sample_table(folder: Path, content: bytes) -> None:
    (folder / "samples.csv").write_bytes(content)
    for sample in read_samples(folder / "samples.csv"):
        assert sample.crystal is not None or sample.reason


def _block(folder: Path, content: bytes) -> None:
    (folder / "x.npz").write_bytes(content)
    found = load_block(folder / "x.npz")
    if found is not None:
        assert all(isinstance(crystal, Crystal) for crystal in found.crystals())


def examples() -> dict[str, tuple[Target, list[bytes]]]:
    """Every target with good input for it."""
    texts = {
        kind: [text_of(kind, crystal).encode() for crystal in crystals()] for kind in ("cif", "poscar", "extxyz", "json", "csv")
    }
    strings = [item.string.encode() for item in create("representation", "slices").encode(small_crystals())]
    samples = table([["a", "0", small_crystals()[0].cif(), "ok", '{"a": 1}']], ("id", "seed", "cif", "status", "condition"))
    recipes = (
        b"extends: nothing.yaml\n",
        b"name: x\nmodel:\n  encoder: {name: equivariant, dim: 16}\nfit: {steps: 3, lr: 1e-3}\n",
    )
    return {
        "recipe YAML": (_recipe, list(recipes)),
        "CIF": (_source("files", ".cif"), texts["cif"]),
        "POSCAR": (_source("files", ".vasp"), texts["poscar"]),
        "extxyz": (_source("files", ".extxyz"), texts["extxyz"]),
        "JSON": (_source("files", ".json"), texts["json"]),
        "CSV table": (_source("table", ".csv"), texts["csv"]),
        "zip": (_source("files", ".zip"), [_zip(texts["cif"][0])]),
        "sample table": (_sample_table, [samples.encode()]),
        "SLICES string": (_slices, strings),
        "checkpoint": (_checkpoint, [_good_checkpoint()]),
        "checkpoint, right checksum": (_checkpoint_body, [_good_checkpoint()]),
        "row file": (_row_file, [b'{"a": 1}\0\0id,value\n1,2\n3,4\n']),
        "block of prepared data": (_block, [_good_block()]),
    }  # fmt: skip


def _zip(content: bytes) -> bytes:
    import io
    import zipfile

    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.cif", content)
    return stream.getvalue()


def _good_checkpoint() -> bytes:
    import tempfile

    import torch

    with tempfile.TemporaryDirectory() as folder:
        checkpoint.save(Path(folder) / "x.pt", {"model": {"a": torch.zeros(2)}, "recipe": "name: x"})
        return (Path(folder) / "x.pt").read_bytes()


def _good_block() -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        found = small_crystals()
        save_block(make_block(found, [0] * 4, range(4), [], [], [], 4), Path(folder) / "x.npz")
        return (Path(folder) / "x.npz").read_bytes()


@st.composite
def _grown(draw: st.DrawFn, good: list[bytes]) -> bytes:
    """A good example with a few pieces put in or taken out; or anything at all."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.one_of(st.binary(max_size=300), st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace"))))
    content = draw(st.sampled_from(good))
    piece = st.one_of(st.sampled_from(PIECES).map(lambda text: text.encode("utf-8", "surrogatepass")), st.binary(max_size=8))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        length = draw(st.sampled_from((0, 0, 1, 1, 4, 40, 400)))
        content = content[:start] + draw(piece) + content[start + length :]
    return content


def fuzz(minutes: float, folder: Path, number: int = 0, only: str | None = None) -> int:
    """Every target for its share of the time; prints a table, returns how many targets failed."""
    targets = {name: pair for name, pair in examples().items() if only is None or name == only}
    rows, failed = [], 0
    for name, (target, good) in targets.items():
        found, tries = _fuzz_one(target, good, folder, 60 * minutes / len(targets), number)
        failed += bool(found)
        rows.append(f"| {name} | {tries:,} | {found or 'an answer or a sentence, every time'} |")
        print(rows[-1], flush=True)
    print("\n".join(["", "| parser | tries | outcome |", "|---|--:|---|", *rows]))
    return failed


def _fuzz_one(target: Target, good: list[bytes], folder: Path, seconds: float, number: int) -> tuple[str, int]:
    """What was found (empty: nothing), and the number of examples; goes round with new seeds until the time is over."""
    folder.mkdir(parents=True, exist_ok=True)
    tries, until = 0, time.monotonic() + seconds

    def check(content: bytes) -> None:
        nonlocal tries
        tries += 1
        began = time.process_time()
        try:
            target(folder, content)
        except CrystalfwError as error:
            if not str(error).strip():
                raise AssertionError("an error without a sentence") from error
        assert time.process_time() - began < SLOW, "slow"

    while time.monotonic() < until:
        number += 1
        options = settings(
            max_examples=50, deadline=None, database=None, suppress_health_check=list(HealthCheck),
            phases=(Phase.generate, Phase.shrink),
        )  # fmt: skip
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                seed(number)(options(given(_grown(good))(check)))()
        except Exception as error:
            traceback.print_exc(limit=-6)
            return f"{type(error).__name__}: {error}".splitlines()[0][:200], tries
    return "", tries
