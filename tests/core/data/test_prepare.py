from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from crystalfw.core.crystal import Crystal
from crystalfw.core.data import Dataset, prepare
from crystalfw.core.data import prepare as package_prepare
from crystalfw.core.data.parts import formula_hash
from crystalfw.core.data.reading import check_sound
from crystalfw.core.errors import DataError, PluginError, Reject
from crystalfw.core.geometry.neighbours import neighbour_arrays
from crystalfw.core.interfaces import NoOptions, Representation, Source, Transform
from crystalfw.core.recipe.schema import DataSection
from crystalfw.core.records import Encoded, Rejected, Vocabulary
from crystalfw.core.testing.crystals import small_crystals

assert package_prepare is prepare


class Synthetic(Source):
    """`count` variations of small crystals; every seventh row is unreadable."""

    Config = NoOptions

    def __init__(self, count: int, parts: tuple[str, ...] = ("train",), bad: int = 7) -> None:
        self.count, self._parts, self.bad = count, parts, bad

    def parts(self) -> tuple[str, ...]:
        return self._parts

    def fingerprint(self) -> str:
        return f"{self.count} {self._parts} {self.bad}"

    def read(self, part: str) -> Iterator[Crystal | Rejected]:
        base = small_crystals()
        for k in range(self.count):
            if self.bad and k % self.bad == self.bad - 1:
                yield Rejected("synthetic", k + 1, f"id-{k}", f"broken: item {k}")
                continue
            crystal = base[k % len(base)]
            numbers = crystal.numbers.copy()
            numbers[0] += (k // 4) % 5
            properties = {"k": float(k)} if k % 2 else {"k": float(k), "even": 1.0}
            yield replace(crystal, numbers=numbers, id=f"id-{k}", properties=properties)


class Jiggle(Transform):
    """Random, so that the streams are tested; sets aside one formula."""

    def __init__(self, config: NoOptions) -> None:
        self.config = config

    def __call__(self, crystal: Crystal, rng: np.random.Generator) -> Crystal:
        if crystal.id == "id-4":
            raise Reject("not wanted: id-4")
        return replace(crystal, frac_coords=crystal.frac_coords + 0.01 * rng.standard_normal(crystal.frac_coords.shape))


class Elements(Representation):
    """The atomic numbers as words: enough of a representation to test the store."""

    def __init__(self, config: NoOptions) -> None:
        self.vocabulary = Vocabulary(("<pad>", "<begin>", "<end>", *(str(z) for z in range(1, 119))))

    def encode(self, crystals):
        return [
            Encoded(reason="has_iron") if 26 in crystal.numbers else Encoded(" ".join(str(z) for z in crystal.numbers))
            for crystal in crystals
        ]

    def decode(self, strings):
        raise NotImplementedError

    def tokenize(self, string):
        return [int(word) + 2 for word in string.split()]

    def detokenize(self, ids):
        return " ".join(str(k - 2) for k in ids if k > 2)

    def grammar(self, rows, max_length, constraints=None):
        raise NotImplementedError

    def augment(self, string, rng):
        return " ".join(rng.permutation(string.split()))


def make(folder: Path, source: Source, *, workers: int = 1, cutoff: float | None = None, **options: object) -> Dataset:
    data = DataSection(cache=str(folder), workers=workers, **options)
    return prepare(data, source, [Jiggle(NoOptions())], Elements(NoOptions()), key="k", seed=3, cutoff=cutoff)


def everything(dataset: Dataset) -> dict[str, bytes]:
    """Every file of the store, byte for byte."""
    return {str(p.relative_to(dataset.folder)): p.read_bytes() for p in sorted(dataset.folder.rglob("*")) if p.is_file()}


def test_every_item_is_a_crystal_or_is_listed(tmp_path):
    dataset = make(tmp_path, Synthetic(600), validation=0.2, test=0.2)
    with open(dataset.rejected_path, newline="") as stream:
        listed = list(csv.DictReader(stream))
    assert len(dataset) + len(listed) == 600
    assert dataset.rejected == {"broken": 85, "not wanted": 1, "cannot be encoded": dataset.rejected["cannot be encoded"]}
    assert listed[0] | {"reason": ""} == {"file": "synthetic", "row": "5", "id": "id-4", "reason": ""}
    ids = [part.id(k) for part in dataset.splits.values() for k in range(len(part))]
    assert len({*ids, *(row["id"] for row in listed)}) == 600
    assert "rejected" in dataset.summary()


def test_what_is_stored_is_what_went_in(tmp_path):
    dataset = make(tmp_path, Synthetic(40, bad=0), cutoff=4.0)
    part = dataset.splits["train"]
    source = {c.id: c for c in Synthetic(40, bad=0).read("train")}
    assert set(dataset.columns) == {"k", "even"}
    for k in range(len(part)):
        crystal = part[k]
        expected = source[crystal.id]
        np.testing.assert_array_equal(crystal.numbers, expected.numbers)
        np.testing.assert_array_equal(crystal.lattice, expected.lattice)
        assert np.abs(crystal.frac_coords - expected.frac_coords).max() < 0.1
        assert part.column("k")[k] == expected.properties["k"]
        assert np.isnan(part.column("even")[k]) == ("even" not in expected.properties)
        assert part.ids(k).tolist() == [1, *(expected.numbers + 2), 2]
        found = [part.ragged(name, "edges", k) for name in ("edge_source", "edge_target", "edge_shift")]
        for array, wanted in zip(found, neighbour_arrays(crystal, 4.0), strict=True):
            np.testing.assert_array_equal(array, wanted)
    assert part.lengths.tolist() == [len(part.ids(k)) for k in range(len(part))]
    counts = np.bincount(np.concatenate([part.ids(k)[1:] for k in range(len(part))]), minlength=121)
    np.testing.assert_array_equal(part.unigram_counts, counts)


def test_parts_are_cut_by_formula(tmp_path):
    dataset = make(tmp_path, Synthetic(800, bad=0), validation=0.3, test=0.3)
    formulas = {name: {part[k].formula for k in range(len(part))} for name, part in dataset.splits.items()}
    assert set(formulas) == {"train", "val", "test"}
    assert not formulas["train"] & formulas["val"]
    assert not formulas["train"] & formulas["test"]
    assert not formulas["val"] & formulas["test"]


def test_formula_hash_is_of_the_reduced_formula_and_stable():
    crystal = small_crystals()[0]
    double = replace(crystal, numbers=np.tile(crystal.numbers, 2), frac_coords=np.tile(crystal.frac_coords, (2, 1)))
    assert formula_hash(crystal) == formula_hash(double)
    # a fixed number: a change of the hash would move crystals between parts of existing data
    assert formula_hash(crystal) == pytest.approx(0.6701933933912256)


def test_a_sources_own_parts_are_kept(tmp_path):
    dataset = make(tmp_path, Synthetic(30, parts=("train", "val", "test"), bad=0))
    assert len({len(part) for part in dataset.splits.values()}) == 1
    without_test = make(tmp_path, Synthetic(300, parts=("train", "val"), bad=0), test=0.5)
    assert len(without_test.splits["val"]) == len(without_test.splits["train"]) + len(without_test.splits["test"])


def test_processes_give_the_same_bytes(tmp_path, monkeypatch):

    monkeypatch.setattr("crystalfw.core.data.executor.ALONE", 0.0)
    serial = make(tmp_path / "serial", Synthetic(1000), cutoff=4.0)
    parallel = make(tmp_path / "parallel", Synthetic(1000), cutoff=4.0, workers=2)
    assert everything(serial) == everything(parallel)


def test_second_call_reads_the_cache(tmp_path):
    first = make(tmp_path, Synthetic(50))
    before = {path: path.stat().st_mtime_ns for path in first.folder.rglob("*")}
    second = make(tmp_path, Synthetic(50))
    assert second.folder == first.folder
    assert before == {path: path.stat().st_mtime_ns for path in second.folder.rglob("*")}
    assert make(tmp_path, Synthetic(51)).folder != first.folder
    assert make(tmp_path, Synthetic(50), max_atoms=3).folder != first.folder


def test_max_crystals_takes_the_first_of_each_part(tmp_path):
    whole = make(tmp_path, Synthetic(1000), validation=0.2, test=0.2)
    few = make(tmp_path, Synthetic(1000), validation=0.2, test=0.2, max_crystals=20)
    for name, part in few.splits.items():
        assert len(part) <= 20
        assert [part.id(k) for k in range(len(part))] == [whole.splits[name].id(k) for k in range(len(part))]
    assert len(few.splits["train"]) == 20


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_damage_is_seen_and_repaired(tmp_path, damage, capsys):
    dataset = make(tmp_path, Synthetic(60))
    whole = everything(dataset)
    rng = np.random.default_rng(0)
    for name in rng.permutation(sorted(whole))[:8]:
        path = dataset.folder / name
        data = bytearray(whole[name])
        if damage == "remove":
            path.unlink()
        elif damage == "truncate":
            path.write_bytes(bytes(data[: len(data) // 2]))
        else:
            data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
            path.write_bytes(bytes(data))
        assert everything(make(tmp_path, Synthetic(60))) == whole
        assert "preparing again" in capsys.readouterr().out


def test_two_at_once_do_the_work_once(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(lambda _: make(tmp_path, Synthetic(300)), range(2))
    assert first.folder == second.folder
    assert len(first) == len(second)


_SCRIPT = """
    import sys
    from pathlib import Path
    sys.path.insert(0, {folder!r})
    from crystalfw.core.data import prepare as _
    import importlib.util
    spec = importlib.util.spec_from_file_location("prepare_test", {file!r})
    module = importlib.util.module_from_spec(spec)
    sys.modules["prepare_test"] = module
    spec.loader.exec_module(module)
    if __name__ == "__main__":
        print("ready", flush=True)
        dataset = module.make(Path(sys.argv[1]), module.Synthetic(6000), cutoff=4.0)
        print(dataset.folder)
"""


@pytest.mark.slow
def test_killed_at_random_moments_the_result_is_the_same(tmp_path):
    """kill -9, again and again, until the preparation gets through: the same bytes as without."""
    script = tmp_path / "run.py"
    script.write_text(textwrap.dedent(_SCRIPT).format(folder=str(Path(__file__).parent), file=__file__))
    command = [sys.executable, str(script), str(tmp_path / "killed")]
    rng = np.random.default_rng(0)
    kills = 0
    for _ in range(8):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(float(rng.uniform(0.2, 1.5)))
            if process.poll() is not None:
                break
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
    subprocess.run(command, check=True)
    plain = subprocess.run([*command[:2], str(tmp_path / "plain")], check=True, capture_output=True, text=True)
    expected = Path(plain.stdout.split()[-1])
    killed = tmp_path / "killed" / expected.relative_to(tmp_path / "plain")
    assert kills > 0
    files = sorted(p.relative_to(expected) for p in expected.rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(killed) for p in killed.rglob("*") if p.is_file())
    assert all((expected / name).read_bytes() == (killed / name).read_bytes() for name in files)


def test_finished_shards_are_not_done_again(tmp_path, monkeypatch):
    """Interrupted in the third shard, the second run starts there."""
    import importlib

    prepare_module = importlib.import_module("crystalfw.core.data.prepare")
    real, done = prepare_module.work, []

    def interrupted(job, part, first_row, records, path):
        if first_row == 512 and not done.count("stopped"):
            done.append("stopped")
            raise KeyboardInterrupt
        done.append(first_row)
        return real(job, part, first_row, records, path)

    monkeypatch.setattr(prepare_module, "work", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path, Synthetic(1000))
    make(tmp_path, Synthetic(1000))
    assert done == [0, 256, "stopped", 512, 768]


def test_nothing_usable_says_why(tmp_path):
    with pytest.raises(
        DataError, match=r"all 5 were rejected: broken \(5\)\. The first: synthetic, row 1, id id-0: broken: item 0"
    ):
        make(tmp_path, Synthetic(5, bad=1))
    with pytest.raises(DataError, match="holds no crystal"):
        make(tmp_path, Synthetic(0))


def test_missing_column_lists_what_there_is(tmp_path):
    with pytest.raises(DataError, match="no numeric column band_gap; it has even, k"):
        make(tmp_path, Synthetic(20), columns=("band_gap",))


def test_read_only_cache_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"Set data\.cache to another folder"):
        make(tmp_path / "file", Synthetic(5))


@dataclass(frozen=True)
class _Case:
    change: dict[str, object]
    reason: str


@pytest.mark.parametrize(
    "case",
    [
        _Case({"lattice": np.full((3, 3), np.nan)}, "not finite"),
        _Case({"lattice": np.eye(3) * 1e9}, "absurd numbers"),
        _Case({"lattice": np.ones((3, 3))}, "flat cell"),
        _Case({"lattice": np.zeros((3, 3))}, "flat cell"),
        _Case({"frac_coords": np.full((2, 3), 1e30)}, "absurd numbers"),
        _Case({"frac_coords": np.full((2, 3), np.inf)}, "not finite"),
        _Case({"numbers": np.array([0, 11])}, "no such element: atomic number 0"),
        _Case({"numbers": np.array([119, 11])}, "no such element: atomic number 119"),
        _Case({"numbers": np.zeros(0), "frac_coords": np.zeros((0, 3))}, "no atoms"),
    ],
)
def test_unsound_crystals_are_set_aside(case):
    with pytest.raises(Reject, match=case.reason):
        check_sound(replace(small_crystals()[0], **case.change), max_atoms=100)


def test_a_source_that_cannot_be_sent_to_processes_says_so(tmp_path, monkeypatch):

    class Local(Synthetic):
        pass

    assert len(make(tmp_path / "alone", Local(300)))
    monkeypatch.setattr("crystalfw.core.data.executor.ALONE", 0.0)
    with pytest.raises(PluginError, match=r"set data\.workers to 1"):
        make(tmp_path / "several", Local(600), workers=2)


def test_a_full_disk_is_a_sentence_and_the_work_is_kept(tmp_path):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        # no file may grow beyond this: the shards fit, the assembled arrays do not
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, before[1]))
        with pytest.raises(DataError, match="Finished work is kept"):
            make(tmp_path, Synthetic(2000), cutoff=4.0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    shards = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("train-*.npz")}
    assert len(shards) == 8
    with pytest.MonkeyPatch.context() as patch:
        import importlib

        patch.setattr(importlib.import_module("crystalfw.core.data.prepare"), "work", None)
        assert len(make(tmp_path, Synthetic(2000), cutoff=4.0)) > 1500
