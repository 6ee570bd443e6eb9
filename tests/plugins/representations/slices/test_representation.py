"""The representation as the framework and as people who use it alone see it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crystalfw import slices
from crystalfw.core.crystal import Crystal, lattice_to_parameters
from crystalfw.core.errors import DecodeError, PluginError
from crystalfw.core.geometry.space_group import space_group_number
from crystalfw.core.recipe.options import create
from crystalfw.plugins.representations.slices.decoding.quality import DECODER_REASONS
from crystalfw.plugins.representations.slices.reasons import DECODE_REASONS


def test_it_is_registered_and_checks_its_options() -> None:
    assert isinstance(create("representation", "slices", {"dialect": "metric"}), slices.Slices)
    with pytest.raises(PluginError, match="plain, rigid, metric"):
        slices.Slices(slices.Slices.Config(dialect="exact"))
    with pytest.raises(PluginError, match="1 to 256"):
        slices.Slices(slices.Slices.Config(max_atoms=300))


@pytest.mark.parametrize("dialect", ["plain", "metric"])
def test_ids_and_strings_are_each_others_inverse(known: Crystal, dialect: str) -> None:
    codec = slices.Slices(slices.Slices.Config(dialect=dialect))
    string = codec.encode([known])[0].string
    ids = codec.tokenize(string)
    assert codec.detokenize([1, *ids, 2, 0, 0]) == string
    with pytest.raises(DecodeError, match="'Xx' is not a token") as caught:
        codec.tokenize("Xx 0 0 oo+")
    assert caught.value.reason == "parse"


def test_one_outcome_for_each_crystal_in_order(library: dict[str, Crystal]) -> None:
    salt = library["rock_salt"]
    flat = Crystal(lattice=np.zeros((3, 3)), frac_coords=salt.frac_coords, numbers=salt.numbers)
    codec = slices.Slices(slices.Slices.Config(max_atoms=4))
    outcomes = codec.encode([salt, flat, library["perovskite"], library["diamond"]])
    assert [outcome.reason for outcome in outcomes] == ["", "cell", "too_many_atoms", ""]
    assert [outcome.string[:5] for outcome in outcomes] == ["Na Cl", "", "", "C C 0"]
    assert {"cell", "too_many_atoms", *DECODE_REASONS, *DECODER_REASONS} <= set(codec.reasons)


def test_one_outcome_for_each_string_in_order() -> None:
    codec = slices.Slices()
    good = "C C 0 1 ooo 0 1 +oo 0 1 o+o 0 1 oo+"
    outcomes = codec.decode([good, "C C 0 1", "C C 0 1 ooo 0 1 +oo 0 1 o+o", good])
    assert [outcome.reason for outcome in outcomes] == ["", "parse", "graph", ""]
    assert [outcome.ok for outcome in outcomes] == [True, False, False, True]
    assert all(outcome.message for outcome in outcomes if not outcome.ok)


def test_space_group_prefix(library: dict[str, Crystal]) -> None:
    codec = slices.Slices(slices.Slices.Config(space_group=True))
    string = codec.encode([library["rock_salt"]])[0].string
    assert slices.parse(string).space_group == 225
    assert string.endswith(slices.encode(library["rock_salt"]))
    assert codec.detokenize(codec.tokenize(string)) == string


def test_dialects_tell_themselves(library: dict[str, Crystal]) -> None:
    perovskite = library["perovskite"]
    assert slices.dialect_of(slices.encode(perovskite)) == "plain"
    metric = slices.encode(perovskite, "metric")
    assert slices.dialect_of(metric) == "metric"
    lengths = [token for token in metric.split() if token[0] in "~="]
    assert len(lengths) == slices.parse(metric).n_edges


def test_usable_alone_again_and_again(known: Crystal) -> None:
    string = slices.encode(known)
    for _ in range(2):
        outcome = slices.decode(string)
        assert outcome.ok
        assert outcome.crystal is not None
        assert sorted(outcome.crystal.numbers.tolist()) == sorted(known.numbers.tolist())
    with pytest.raises(slices.EncodeError):
        slices.encode(Crystal(lattice=np.eye(3), frac_coords=np.zeros((2, 3)), numbers=np.array([1, 1])))


@pytest.mark.parametrize("name", ["rock_salt", "caesium_chloride", "diamond", "copper", "perovskite", "rutile"])
def test_decoding_gives_back_the_topology(name: str, library: dict[str, Crystal]) -> None:
    outcome = slices.decode(slices.encode(library[name], "metric"))
    assert outcome.crystal is not None
    assert slices.key(outcome.crystal) == slices.key(library[name])


def test_symmetrised_onto_the_space_group_of_the_prefix(library: dict[str, Crystal]) -> None:
    codec = slices.Slices(slices.Slices.Config(space_group=True, symmetrise=True))
    outcome = codec.decode([codec.encode([library["perovskite"]])[0].string])[0]
    assert outcome.crystal is not None
    assert outcome.quality["space_group_met"] == 1
    lengths, angles = lattice_to_parameters(outcome.crystal.lattice)
    np.testing.assert_allclose(lengths, lengths[0], rtol=1e-6)
    np.testing.assert_allclose(angles, 90, atol=1e-5)
    assert space_group_number(outcome.crystal, symprec=1e-4) == 221


PUBLISHED = {
    "zinc phosphide": "Zn Zn P P 0 3 o o o 0 3 + o o 0 3 + + o 0 2 o o o 1 2 o + o 1 2 o o o 1 2 + + o 1 3 + + - ",
    "titanium aluminide": "Ti Al Al Al 0 3 - - o 0 3 - o o 0 3 o - o 0 3 o o o 0 2 - o - 0 2 - o o 0 2 o o - 0 2 o o o "
    "0 1 o - - 0 1 o - o 0 1 o o - 0 1 o o o 1 2 - o o 1 2 - + o 1 2 o o o 1 2 o + o 1 3 - o o 1 3 - o + 1 3 o o o "
    "1 3 o o + 2 3 o - o 2 3 o - + 2 3 o o o 2 3 o o +",
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_strings_of_the_published_tool_are_decoded(name: str) -> None:
    outcome = slices.decode(PUBLISHED[name])
    assert outcome.crystal is not None
    again = slices.key(outcome.crystal)
    assert again.split()[:4] == slices.canonical(PUBLISHED[name]).split()[:4]
    if name == "titanium aluminide":  # the bonds of the L1_2 structure fix it: cubic, all twelve neighbours alike
        assert again == slices.canonical(PUBLISHED[name])
        _, angles = lattice_to_parameters(outcome.crystal.lattice)
        np.testing.assert_allclose(angles, 90, atol=0.5)


def test_examples_in_the_documentation() -> None:
    page = Path(__file__).parents[4] / "docs" / "guides" / "slices.md"
    strings = [line.strip() for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("    C C")]
    assert len(strings) == 3
    strings = [string.removesuffix("plain").removesuffix("rigid").strip() for string in strings]
    assert [slices.dialect_of(string) for string in strings] == ["plain", "plain", "rigid"]
    assert all(slices.decode(string).ok for string in strings)
    assert slices.canonical(strings[0]) == strings[0]
