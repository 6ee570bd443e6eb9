from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from crystalfw.core.batch import CrystalBatch, neighbour_edges
from crystalfw.core.crystal import Crystal
from crystalfw.core.data import Loader, LoaderOptions, Split, prepare
from crystalfw.core.errors import DataError, Reject
from crystalfw.core.interfaces import NoOptions, Representation, Source, Transform
from crystalfw.core.recipe.schema import DataSection
from crystalfw.core.records import Encoded, Rejected, Vocabulary
from crystalfw.core.testing.crystals import small_crystals

VOCABULARY = Vocabulary(("<pad>", "<begin>", "<end>", *"abcdefghij"))


class Letters(Representation):
    """Strings of random lengths: what bucketing has to cope with."""

    def __init__(self) -> None:
        self.vocabulary = VOCABULARY

    def encode(self, crystals):
        lengths = [int(np.random.default_rng(int(c.properties["k"])).gamma(3.0, 10.0)) for c in crystals]
        return [Encoded("ab" * (1 + length)) for length in lengths]

    def decode(self, strings):
        raise NotImplementedError

    def tokenize(self, string):
        return ["abcdefghij".index(letter) + 3 for letter in string]

    def detokenize(self, ids):
        return "".join("abcdefghij"[k - 3] for k in ids if k > 2)

    def grammar(self, rows, max_length, constraints=None):
        raise NotImplementedError

    def augment(self, string, rng):
        return "".join(rng.permutation(list(string))) + "c" * int(rng.integers(3))


class Many(Source):
    Config = NoOptions

    def parts(self):
        return ("train",)

    def fingerprint(self):
        return "many"

    def read(self, part):
        base = small_crystals()
        for k in range(500):
            array = np.array([k, 1.0], dtype=np.float32)
            yield replace(base[k % 4], id=f"id-{k}", properties={"k": float(k)}, arrays={"e": array})


@pytest.fixture(scope="module")
def part(tmp_path_factory) -> Split:
    folder = str(tmp_path_factory.mktemp("loader"))
    data = DataSection(cache=folder, workers=1, validation=0, test=0)
    return prepare(data, Many(), [], Letters(), key="", seed=0, cutoff=4.0).splits["train"]


def loader(part: Split, **options: object) -> Loader:
    return Loader(part, LoaderOptions(**({"batch_size": 16, "seed": 1, "prefetch": 0} | options)))


def test_every_crystal_once_per_epoch(part):
    seen = Counter(int(k) for s in range(500 // 4 * 3) for k in loader(part, batch_size=4).global_batch(s)[0])
    # three epochs end to end; pools cross their borders, so count the stream up to the last whole pool
    whole = loader(part, batch_size=5)
    pools = Counter(int(k) for step in range(3200) for k in whole.global_batch(step)[0])
    assert set(pools.values()) == {32}
    assert len(seen) == 500


def test_global_batch_does_not_depend_on_ranks_or_accumulation(part):
    for step in (0, 5, 40):
        expected = sorted(loader(part).global_batch(step)[0].tolist())
        for world_size, accumulate in ((1, 1), (2, 1), (3, 2), (4, 4), (1, 16)):
            shares = [
                loader(part, rank=rank, world_size=world_size, accumulate=accumulate).micro_batches(step)
                for rank in range(world_size)
            ]
            index = [int(k) for share in shares for piece, _ in share for k in piece]
            assert sorted(index) == expected
            assert all(len(piece) for share in shares for piece, _ in share)


def test_ranks_have_equal_work(part):
    work = np.array([
        [sum(int(part.lengths[piece].sum()) for piece, _ in loader(part, rank=rank, world_size=2).micro_batches(step))
         for rank in range(2)] for step in range(40)
    ])  # fmt: skip
    assert (np.abs(work[:, 0] - work[:, 1]) / work.sum(1)).mean() < 0.06


def test_little_padding(part):
    real = computed = 0
    for batch in islice(loader(part).batches(), 128):
        real, computed = real + int(batch.tokens.lengths.sum()), computed + batch.tokens.ids.numel()
    assert computed / real <= 1.10


def test_batches_can_start_anywhere(part):
    options = {"augment": True, "representation": Letters(), "accumulate": 2}
    straight = list(islice(loader(part, **options).batches(0), 20))
    resumed = list(islice(loader(part, **options).batches(7), 6))
    for first, second in zip(straight[14:], resumed, strict=True):
        assert torch.equal(first.tokens.ids, second.tokens.ids)
        assert torch.equal(first.index, second.index)


def test_augmentation_depends_on_seed_epoch_and_crystal_only(part):
    options = {"augment": True, "representation": Letters()}

    def strings(**more: object) -> Counter[tuple[int, ...]]:
        found: Counter[tuple[int, ...]] = Counter()
        for batch in islice(loader(part, **options, **more).batches(), 4 * int(more.get("accumulate", 1))):
            for row, index in enumerate(batch.index.tolist()):
                found[(index, *batch.tokens.ids[row, : batch.tokens.lengths[row]].tolist())] += 1
        return found

    one = strings()
    assert one == strings(accumulate=4)
    assert one == strings(rank=0, world_size=2) + strings(rank=1, world_size=2)
    assert one != strings(seed=2)
    assert any(list(ids) != part.ids(k).tolist() for k, *ids in one)


def test_augmented_strings_never_exceed_the_decoder(part):
    longest = int(part.lengths.max())
    for batch in islice(loader(part, augment=True, representation=Letters(), max_length=longest).batches(), 64):
        assert int(batch.tokens.lengths.max()) <= longest
    with pytest.raises(DataError, match="longer than the decoder's 10 tokens"):
        loader(part, max_length=10)


def test_contents_of_a_batch(part):
    batch = next(loader(part, cutoff=4.0, dtype=torch.float64).batches())
    crystals = [part[int(k)] for k in batch.index]
    expected = CrystalBatch.from_crystals(crystals, torch.float64)
    for name in ("lattice", "frac_coords", "numbers", "crystal_index", "n_atoms"):
        assert torch.equal(getattr(batch.crystals, name), getattr(expected, name))
    assert torch.equal(batch.crystals.properties["k"], expected.properties["k"])
    assert torch.equal(batch.crystals.arrays["e"], expected.arrays["e"])
    edges = neighbour_edges(expected, 4.0)
    for name in ("source", "target", "shift"):
        assert torch.equal(getattr(batch.crystals.edges, name), getattr(edges, name))
    for row, k in enumerate(batch.index.tolist()):
        length = int(batch.tokens.lengths[row])
        assert batch.tokens.ids[row, :length].tolist() == part.ids(k).tolist()
        assert (batch.tokens.ids[row, length:] == VOCABULARY.pad).all()


def test_validation_covers_everything_once(part):
    for world_size, batch_size in ((1, 16), (2, 16), (3, 7), (4, 500), (2, 1000)):
        index = [
            int(k)
            for rank in range(world_size)
            for batch, counts in loader(
                part, rank=rank, world_size=world_size, batch_size=batch_size, train=False
            ).validation_batches()
            if counts
            for k in batch.index
        ]
        assert sorted(index) == list(range(500))
    counts = [len(loader(part, rank=rank, world_size=3, batch_size=7).validation_indices()) for rank in range(3)]
    assert len(set(counts)) == 1


def test_limited_validation_is_the_same_every_time_and_of_all_lengths(part):
    first, second = ([b.tolist() for b in loader(part).validation_indices(4)] for _ in range(2))
    assert first == second
    assert len(first) == 4
    means = [part.lengths[batch].mean() for batch in first]
    assert means[-1] > 2 * means[0]


class Strain(Transform):
    stage = "train"

    def __init__(self, config: NoOptions) -> None:
        self.config = config

    def __call__(self, crystal: Crystal, rng: np.random.Generator) -> Crystal:
        return replace(crystal, lattice=crystal.lattice * (1 + 0.1 * rng.random()))


class Picky(Strain):
    def __call__(self, crystal: Crystal, rng: np.random.Generator) -> Crystal:
        raise Reject("no")


def test_training_transforms_are_new_each_epoch_and_refresh_the_neighbours(part):
    made = loader(part, train_transforms=(Strain(NoOptions()),), cutoff=4.0)
    index = np.arange(4)
    first, again, later = (made.collate(index, np.full(4, epoch)).crystals for epoch in (0, 0, 1))
    assert torch.equal(first.lattice, again.lattice)
    assert not torch.equal(first.lattice, later.lattice)
    expected = neighbour_edges(first, 4.0)
    assert torch.equal(first.edges.source, expected.source)
    plain = loader(part, train=False, train_transforms=(Strain(NoOptions()),), cutoff=4.0).collate(index, index * 0)
    np.testing.assert_allclose(plain.crystals.lattice.numpy(), part.files["lattice"][:4], rtol=1e-6)


def test_a_training_transform_that_sets_aside_is_an_error(part):
    with pytest.raises(DataError, match="transform 'picky' rejected crystal id-"):
        next(loader(part, train_transforms=(Picky(NoOptions()),), prefetch=2).batches())


def test_prefetching_changes_nothing_and_ends_with_the_reader(part):
    before = threading.active_count()
    batches = loader(part, prefetch=3).batches()
    for first, second in zip(islice(batches, 10), loader(part).batches(), strict=False):
        assert torch.equal(first.tokens.ids, second.tokens.ids)
    batches.close()
    assert threading.active_count() == before


def test_too_many_ranks_for_a_batch(part):
    with pytest.raises(DataError, match="cannot be spread over 4 devices x 5 accumulation steps"):
        loader(part, world_size=4, accumulate=5)


def test_small_parts_still_fill_batches(tmp_path):
    class Few(Many):
        def read(self, part):
            yield from (c for k, c in enumerate(Many.read(self, part)) if k < 3)
            yield Rejected("x", 4, "", "broken")

    data = DataSection(cache=str(tmp_path), workers=1, validation=0, test=0)
    few = prepare(data, Few(), [], None, key="", seed=0, cutoff=None).splits["train"]
    batch = next(loader(few, batch_size=8).batches())
    assert batch.tokens is None
    assert batch.crystals.size == 8
    assert set(batch.index.tolist()) == {0, 1, 2}
