"""Metric `diffraction`: the same crystal agrees, another does not, failures count."""

from dataclasses import replace

import pytest

from crystalfw.core.testing import laws_of
from crystalfw.core.testing.laws import Subject, run_law
from crystalfw.core.testing.metric_laws import compute, samples
from crystalfw.plugins.metrics.diffraction import DiffractionMetric


def metric(**options):
    return DiffractionMetric(DiffractionMetric.Config(**options))


def test_a_crystal_agrees_with_itself():
    result = compute(metric(), samples(failed=False))
    assert result["rwp"] == pytest.approx(0, abs=1e-6)
    assert result["good"]["share"] == 1


def test_a_larger_cell_does_not():
    some = [
        s if k else replace(s, crystal=replace(s.crystal, lattice=1.05 * s.crystal.lattice))
        for k, s in enumerate(samples(failed=False))
    ]
    result = compute(metric(), some)
    assert result["outcomes"]["rwp"][some[0].id] > 0.8
    assert result["good"]["count"] == len(some) - 1


def test_a_failed_sample_counts_as_one():
    whole, failed = compute(metric(), samples(failed=False)), compute(metric(), samples())
    assert failed["with_reference"] == whole["with_reference"] + 1
    assert failed["without_crystal"] == 1
    assert failed["rwp"] == pytest.approx(1 / failed["with_reference"], abs=1e-6)


@pytest.mark.parametrize("law", laws_of("metric"), ids=lambda law: law.name)
def test_laws(law):
    outcome = run_law(law, Subject("metric", DiffractionMetric, {}, None))
    assert outcome.status != "failed", outcome.message
