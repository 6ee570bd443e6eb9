"""What composition, properties, space_group, precomputed, none and concat promise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from crystalfw.core import Crystal, CrystalBatch, DataError, PluginError
from crystalfw.core.crystal import FloatArray
from crystalfw.core.testing.crystals import changed, deviation, encode, make, random_crystal, supercell


def crystal(numbers: list[int], properties: Mapping[str, float] | None = None, **arrays: Any) -> Crystal:
    """No geometry at all: only what these encoders may read."""
    unknown: FloatArray = np.full((len(numbers), 3), np.nan)
    return Crystal(
        lattice=np.full((3, 3), np.nan), frac_coords=unknown, numbers=numbers, properties=properties or {}, arrays=arrays
    )


EVERY: list[tuple[str, dict[str, Any]]] = [
    ("composition", {}),
    ("properties", {"columns": ["gap", "energy"]}),
    ("space_group", {}),
    ("precomputed", {"array": "embedding", "size": 4}),
    ("none", {}),
    ("concat", {"encoders": ["composition", {"name": "properties", "columns": ["gap"], "dim": 24}, "none"]}),
]
FULL = [
    crystal([38, 22, 8, 8, 8], {"gap": 1.9, "energy": -3.0, "spacegroup.number": 221}, embedding=np.arange(4.0)),
    crystal([11, 17], {"gap": 5.0, "energy": -2.0, "spacegroup.number": 225}, embedding=np.ones(4)),
]


@pytest.mark.parametrize(("name", "options"), EVERY, ids=[name for name, _ in EVERY])
def test_memory_is_finite_and_every_parameter_can_learn(name: str, options: dict[str, Any]) -> None:
    encoder = make(name, dim=32, **options).train()
    rows = (
        [encoder(CrystalBatch.from_crystals(FULL)), encoder(CrystalBatch.from_crystals([crystal([])]))]
        if name not in ("precomputed",)
        else [encoder(CrystalBatch.from_crystals([*FULL, crystal([], embedding=np.full(4, np.nan))]))]
    )
    for memory in rows:
        assert memory.tokens.shape[2] == memory.pooled.shape[1] == encoder.dim == 32
        assert memory.mask.dtype == torch.bool
        assert bool(memory.mask.any(1).all())
        assert bool(memory.tokens[memory.mask].isfinite().all())
    sum((memory.tokens[memory.mask].square().sum() + memory.pooled.square().sum()) for memory in rows).backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())


def test_composition_depends_on_shares_alone() -> None:
    encoder = make("composition")
    one, double = random_crystal(1, 3), supercell(random_crystal(1, 3), (2, 1, 1))
    assert deviation(encode(encoder, one).pooled, encode(encoder, double).pooled) < 1e-12
    other = changed(one, numbers=[one.numbers[0], *one.numbers[1:][::-1]])
    assert deviation(encode(encoder, one).tokens, encode(encoder, other).tokens) < 1e-12


def test_composition_gives_one_token_per_element() -> None:
    memory = encode(make("composition"), *FULL, crystal([], embedding=np.ones(4)))
    assert memory.mask.tolist() == [[True] * 3, [True, True, False], [True, False, False]]


def test_properties_are_standardised_by_the_training_part() -> None:
    encoder = make("properties", columns=["gap"])
    encoder.fit_statistics({"gap": np.array([1.0, 3.0, np.nan])})
    moved = make("properties", columns=["gap"])
    moved.fit_statistics({"gap": np.array([1.0, 3.0]) * 10 + 7})
    first, second = encode(encoder, crystal([1], {"gap": 2.5})), encode(moved, crystal([1], {"gap": 32.0}))
    assert deviation(first.tokens, second.tokens) < 1e-12
    reloaded = make("properties", columns=["gap"], seed=1)
    reloaded.load_state_dict(encoder.state_dict())
    assert deviation(encode(reloaded, crystal([1], {"gap": 2.5})).tokens, first.tokens) < 1e-12


def test_any_subset_of_properties_may_be_given() -> None:
    encoder = make("properties", columns=["gap", "energy"])
    both = encode(encoder, crystal([1], {"gap": 1.0, "energy": 2.0}))
    absent, nan = encode(encoder, crystal([1], {"gap": 1.0})), encode(encoder, crystal([1], {"gap": 1.0, "energy": np.nan}))
    assert deviation(absent.tokens, nan.tokens) == 0
    assert deviation(absent.tokens[:, 0], both.tokens[:, 0]) == 0
    assert deviation(absent.tokens[:, 1], both.tokens[:, 1]) > 0.1


def test_properties_drop_out_single_columns_in_training_only() -> None:
    encoder = make("properties", columns=["gap", "energy"], dropout=0.5)
    batch = CrystalBatch.from_crystals([crystal([1], {"gap": 1.0, "energy": 2.0})] * 400)
    evaluated, trained = encoder(batch), encoder.train()(batch)
    dropped_BM = (trained.tokens == encoder.missing).all(-1)
    assert not (evaluated.tokens == encoder.missing).all(-1).any()
    assert 0.4 < dropped_BM.float().mean() < 0.6
    assert not torch.equal(dropped_BM[:, 0], dropped_BM[:, 1])


def test_statistics_need_the_column_and_a_value() -> None:
    encoder = make("properties", columns=["gap"])
    with pytest.raises(DataError, match="no column 'gap'; numeric columns: energy"):
        encoder.fit_statistics({"energy": np.ones(3)})
    with pytest.raises(DataError, match="'gap' has no value"):
        encoder.fit_statistics({"gap": np.full(3, np.nan)})
    encoder.fit_statistics({"gap": np.ones(3)})
    assert bool(encode(encoder, crystal([1], {"gap": 1.0})).tokens.isfinite().all())


def test_space_groups_of_one_system_share_a_part() -> None:
    encoder = make("space_group")
    with torch.no_grad():
        encoder.groups.weight.zero_()
    numbers = [1, 2, 3, 15, 16, 74, 75, 142, 143, 167, 168, 194, 195, 230]
    pooled = encode(encoder, *(crystal([1], {"spacegroup.number": n}) for n in numbers)).pooled
    pairs = pooled.unflatten(0, (7, 2))
    assert torch.equal(pairs[:, 0], pairs[:, 1])
    assert len(torch.unique(pairs[:, 0], dim=0)) == 7


@pytest.mark.parametrize("number", [231, -1, 0, 1.5])
def test_what_is_no_space_group_is_an_error(number: float) -> None:
    with pytest.raises(DataError, match=f"space group {number:g}: space groups are the whole numbers 1 to 230"):
        encode(make("space_group"), crystal([1], {"spacegroup.number": number}))


def test_precomputed_masks_missing_rows() -> None:
    vectors = np.array([[1.0, 2.0, 3.0, 4.0], [np.nan] * 4])
    memory = encode(make("precomputed", array="v", size=4), crystal([1], v=vectors), crystal([1], v=vectors * np.nan))
    assert memory.mask.tolist() == [[True, False], [True, False]]
    assert deviation(memory.pooled, memory.tokens[:, 0]) == 0


def test_precomputed_names_what_does_not_fit() -> None:
    encoder = make("precomputed", array="v", size=4)
    with pytest.raises(DataError, match="no embedding called 'v'; there are: w"):
        encode(encoder, crystal([1], w=np.ones(4)))
    with pytest.raises(DataError, match="has 5 numbers per vector; the recipe says size: 4"):
        encode(encoder, crystal([1], v=np.ones(5)))


def test_concat_joins_requirements_tokens_and_cutoffs() -> None:
    members = ["composition", {"name": "equivariant", "cutoff": 3.0, "layers": 1}, {"name": "equivariant", "cutoff": 4.0}]
    encoder = make("concat", encoders=members, dim=48)
    assert encoder.requires == {"composition", "geometry"}
    assert encoder.cutoff == 4.0
    first, second = random_crystal(1, 3), random_crystal(2, 1)
    memory = encode(encoder, first, second)
    assert memory.tokens.shape == (2, len(set(first.numbers.tolist())) + 3 + 3, 48)
    alone = encode(encoder, second)
    assert deviation(alone.pooled[0], memory.pooled[1]) < 1e-12


def test_concat_passes_statistics_on_and_names_a_wrong_member() -> None:
    encoder = make("concat", encoders=[{"name": "properties", "columns": ["gap"]}])
    encoder.fit_statistics({"gap": np.array([1.0, 3.0])})
    assert float(encoder.members[0].mean) == 2.0
    with pytest.raises(PluginError, match=r"encoders\[0\]: no option called 'colums'. Did you mean 'columns'"):
        make("concat", encoders=[{"name": "properties", "colums": ["gap"]}])
    with pytest.raises(PluginError, match="no encoder called 'compositon'"):
        make("concat", encoders=["compositon"])
    with pytest.raises(PluginError, match="at least one member"):
        make("concat", encoders=[])


OPTIONAL = {"encoders": ["composition", "space_group", {"name": "properties", "columns": ["gap"]}], "dropout": 0.5}


def test_concat_with_dropout_can_be_asked_with_any_member() -> None:
    encoder = make("concat", dim=16, **OPTIONAL).eval()
    assert encoder.optional == encoder.requires
    full, nothing = crystal([11, 17], {"gap": 5.0, "spacegroup.number": 225}), crystal([])
    memory = encode(encoder, full, crystal([11, 17]), nothing)
    assert memory.mask.tolist() == [[True] * 4, [True, True, True, True], [True, False, True, True]]
    assert memory.tokens.isfinite().all()
    # what is not given is the same learned token whatever else is
    assert torch.equal(memory.tokens[1, 2:], memory.tokens[2, 2:])
    assert not torch.allclose(memory.tokens[0, 2:], memory.tokens[1, 2:])
    assert deviation(encode(encoder, full).pooled[0], memory.pooled[0]) < 1e-6


def test_concat_hides_members_in_training_only_and_independently() -> None:
    encoder = make("concat", dim=16, **OPTIONAL)
    batch = CrystalBatch.from_crystals([crystal([11, 17], {"gap": 5.0, "spacegroup.number": 225})] * 400)
    torch.manual_seed(0)
    composition, group = encoder.train()(batch).mask[:, 1], encoder(batch).tokens[:, 2]
    assert 0.4 < float(composition.float().mean()) < 0.6
    assert 0.4 < float((group == group[0]).all(1).float().mean()) < 0.6
    assert bool(encoder.eval()(batch).mask.all())


def test_concat_hides_each_member_as_often_as_its_own_share() -> None:
    encoder = make("concat", dim=16, **{**OPTIONAL, "dropout": [0.8, 0.0, 0.2]})
    assert encoder.optional == encoder.requires - {"properties.spacegroup.number"}
    batch = CrystalBatch.from_crystals([crystal([11, 17], {"gap": 5.0, "spacegroup.number": 225})] * 400)
    torch.manual_seed(0)
    memory = encoder.train()(batch)
    assert 0.1 < float(memory.mask[:, 1].float().mean()) < 0.3
    assert torch.equal(memory.tokens[:, 2], memory.tokens[:1, 2].expand(400, -1))
    with pytest.raises(PluginError, match="2 shares for 3 encoders"):
        make("concat", dim=16, **{**OPTIONAL, "dropout": [0.5, 0.5]})


def test_concat_without_dropout_needs_every_member() -> None:
    assert make("concat", encoders=["composition", "none"]).optional == frozenset()


def test_equivariant_names_a_missing_multiplicity() -> None:
    with pytest.raises(PluginError, match="lmax 3 needs 4 numbers"):
        make(lmax=3)
