"""The funnel: one denominator, every loss counted with its reason."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Element
from smact.screening import smact_validity

from crystalfw.core.crystal import Crystal
from crystalfw.plugins.metrics.shared.geometry import reduced_composition
from crystalfw.plugins.metrics.shared.rules import compositional_problem, shortest_distance, structural_problem
from crystalfw.plugins.metrics.shares import STAGES, Shares
from tests.plugins.metrics.crystals import caesium_chloride, moved, perovskite, rock_salt, sample


def collided() -> Crystal:
    return Crystal(lattice=4 * np.eye(3), frac_coords=np.array([[0, 0, 0], [0, 0, 0.99]]), numbers=np.array([11, 17]))


SAMPLES = [
    sample("parse", status="parse", reason="parse: token 7"),
    sample("graph", status="graph", reason="graph: two components"),
    sample("geometry", status="decode", reason="geometry: collapsed"),
    sample("rejected", status="finalize", reason="too dense"),
    sample("collided", collided()),
    sample("charged", rock_salt(numbers=(56, 9))),
    sample("first", rock_salt()),
    sample("again", moved(rock_salt())),
    sample("known", perovskite()),
    sample("new", caesium_chloride()),
]


def chain(samples, reference, context, **options):
    result = Shares(Shares.Config(**options)).compute(samples, reference, context)
    return result, {link["stage"]: link["count"] for link in result["chain"]}


def test_every_stage_counts_what_passed_all_before(context):
    context = replace(context, train=[moved(perovskite(4.0), seed=3)])
    result, counts = chain(SAMPLES, [], context)
    assert tuple(counts) == STAGES
    assert list(counts.values()) == [9, 8, 6, 5, 4, 3, 2]
    assert {link["of"] for link in result["chain"]} == {10}
    assert result["examples"] == ["first", "new"]


def test_every_loss_has_its_reason(context):
    context = replace(context, train=[perovskite()])
    result, counts = chain(SAMPLES, [], context)
    lost = sum(count for reasons in result["failures"].values() for count in reasons.values())
    assert lost == len(SAMPLES) - counts["novel"]
    assert result["failures"]["decoded"] == {"geometry": 1, "too dense": 1}
    assert result["failures"]["structurally valid"] == {"atoms closer than 0.5 angstrom": 1}
    assert result["failures"]["compositionally valid"] == {"no neutral oxidation states": 1}


def test_novelty_names_what_it_is_judged_against(context):
    result, counts = chain(SAMPLES, [perovskite()], context)
    assert result["protocol"]["novel_against"] == "the reference crystals"
    assert counts["novel"] == 2
    result, counts = chain(SAMPLES, [], context)
    assert "novel" not in counts
    assert result["protocol"]["novel_against"].startswith("nothing")


def test_a_key_decides_equality_but_not_inequality(context):
    different = [sample("a", rock_salt()), sample("b", caesium_chloride(numbers=(11, 17)))]
    context = replace(context, key=lambda crystal: "same for all")
    assert chain(different, [], context)[1]["unique"] == 1
    context = replace(context, key=lambda crystal: str(crystal.lattice.tolist()))
    equal = [sample("a", rock_salt()), sample("b", moved(rock_salt()))]
    result, counts = chain(equal, [], context)
    assert counts["unique"] == 1
    assert result["comparisons"]["unique"] == {"matcher": 1}


def test_no_sample_is_a_share_of_nothing(context):
    result, counts = chain([sample("x", status="parse", reason="parse")], [], context)
    assert set(counts.values()) == {0}
    assert result["chain"][0]["share"] == 0.0


def test_own_images_count_as_distances():
    flat = Crystal(lattice=np.diag([0.4, 5, 5]), frac_coords=np.zeros((1, 3)), numbers=np.array([11]))
    assert shortest_distance(flat, 0.5) == pytest.approx(0.4)
    assert "closer" in structural_problem(flat)
    assert "volume" in structural_problem(Crystal(lattice=0.4 * np.eye(3), frac_coords=np.zeros((1, 3)), numbers=np.array([1])))
    assert "not numbers" in structural_problem(
        Crystal(lattice=np.full((3, 3), np.nan), frac_coords=np.zeros((1, 3)), numbers=np.array([1]))
    )


@pytest.mark.parametrize(
    ("numbers", "valid"),
    [((11, 17), True), ((26, 28), True), ((26, 26), True), ((2, 8), False), ((18, 11), False), ((56, 9), False)],
    ids=["salt", "alloy", "element", "helium oxide", "argon", "charged"],
)
@pytest.mark.parametrize("oxidation_set", ["smact14", "icsd24"])
def test_compositions(numbers, valid, oxidation_set):
    assert (compositional_problem(reduced_composition(rock_salt(numbers=numbers)), oxidation_set) == "") == valid


@settings(deadline=None, max_examples=150)
@given(
    counts=st.dictionaries(st.integers(1, 94), st.integers(1, 6), min_size=1, max_size=4),
    oxidation_set=st.sampled_from(["smact14", "icsd16", "icsd24"]),
)
def test_compositions_as_smact_judges_them(counts, oxidation_set):
    divisor = math.gcd(*counts.values())
    composition = tuple(sorted((number, count // divisor) for number, count in counts.items()))
    formula = "".join(f"{Element.from_Z(number).symbol}{count}" for number, count in composition)
    expected = smact_validity(formula, oxidation_states_set=oxidation_set)
    assert (compositional_problem(composition, oxidation_set) == "") == expected


def test_many_elements_take_no_time():
    composition = tuple((number, 1 + number % 5) for number in (1, 7, 8, 15, 16, 25, 26, 42, 44, 75, 76, 92))
    began = time.monotonic()
    compositional_problem(composition, "smact14")
    assert time.monotonic() - began < 1
