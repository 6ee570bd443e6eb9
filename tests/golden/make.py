"""Makes the golden set: 100 samples, 40 references, and metrics computed another way than the plugins compute them.

    python -m tests.golden.make        (needs matminer besides the test dependencies; about five minutes)

Everything here is as direct as possible: no buckets, no shortcuts, the libraries' own functions, and where the plugins use
a library's function for a whole step, the formula instead. Crystals are made, not taken from a data set.
"""

from __future__ import annotations

import itertools
import json
import math
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
LOOSE, STRICT = {"ltol": 0.3, "stol": 0.5, "angle_tol": 10}, {"ltol": 0.2, "stol": 0.3, "angle_tol": 5}
CATIONS, METALS, ANIONS = [3, 11, 12, 19, 20, 38, 56, 55], [22, 25, 26, 28, 29, 30, 40, 13], [8, 9, 16, 17, 35, 34]
FCC, CUBE = np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]), np.eye(3)
HEX = np.array([[1, 0, 0], [-0.5, 3**0.5 / 2, 0], [0, 0, 1.0]])
PROTOTYPES = {
    "rock salt": (FCC, 5.2, [[0, 0, 0], [0.5, 0.5, 0.5]], "CA"),
    "zinc blende": (FCC, 5.6, [[0, 0, 0], [0.25, 0.25, 0.25]], "MA"),
    "fluorite": (FCC, 5.6, [[0, 0, 0], [0.25, 0.25, 0.25], [0.75, 0.75, 0.75]], "CAA"),
    "half-Heusler": (FCC, 6.0, [[0, 0, 0], [0.25, 0.25, 0.25], [0.5, 0.5, 0.5]], "CMA"),
    "caesium chloride": (CUBE, 3.8, [[0, 0, 0], [0.5, 0.5, 0.5]], "CA"),
    "alloy": (CUBE, 3.0, [[0, 0, 0], [0.5, 0.5, 0.5]], "MN"),
    "perovskite": (CUBE, 4.0, [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]], "CMAAA"),
    "nickel arsenide": (
        HEX * np.array([[1], [1], [1.6]]), 3.7, [[0, 0, 0], [0, 0, 0.5], [1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]], "MMAA",
    ),
    "rutile": (
        np.diag([1, 1, 0.65]), 4.6,
        [[0, 0, 0], [0.5] * 3, [0.3, 0.3, 0], [0.7, 0.7, 0], [0.8, 0.2, 0.5], [0.2, 0.8, 0.5]], "MMAAAA",
    ),
}  # fmt: skip


def build(name, rng):
    """A decorated prototype: lattice, fractional coordinates, atomic numbers."""
    shape, length, positions, letters = PROTOTYPES[name]
    chosen = {"C": rng.choice(CATIONS), "M": rng.choice(METALS), "N": rng.choice(METALS), "A": rng.choice(ANIONS)}
    lattice = shape * length * rng.uniform(0.95, 1.1)
    return lattice, np.array(positions, dtype=float), np.array([int(chosen[letter]) for letter in letters])


def disturbed(crystal, sigma, strain, rng):
    """The crystal after random displacements (angstrom) and strain, in another atom order."""
    lattice, frac, numbers = crystal
    order = rng.permutation(len(numbers))
    moved = frac + rng.normal(scale=sigma, size=frac.shape) @ np.linalg.inv(lattice)
    return lattice @ (np.eye(3) + rng.normal(scale=strain, size=(3, 3))), moved[order], numbers[order]


def plain(crystal, **facts):
    """As JSON, coordinates with eight decimals."""
    lattice, frac, numbers = crystal
    return {
        "lattice": np.round(lattice, 8).tolist(), "frac": np.round(frac, 8).tolist(), "numbers": numbers.tolist(), **facts,
    }  # fmt: skip


def make_set():
    """Samples and references."""
    rng = np.random.default_rng(20)
    names = list(PROTOTYPES)
    crystals = [build(names[k % len(names)], rng) for k in range(40)]
    reference = [plain(crystal, id=f"ref-{k}") for k, crystal in enumerate(crystals)]
    samples = []
    for k in range(100):
        facts = {"id": f"{k:03d}", "reference_id": f"ref-{k // 2}" if k < 80 else ""}
        if k % 19 == 7:
            samples.append({**facts, "status": ("parse", "graph", "decode")[k % 3], "lattice": None})
            continue
        source = crystals[k // 2] if k < 80 else build(names[k % len(names)], rng)
        crystal = disturbed(source, rng.choice([0.0, 0.05, 0.2, 0.6]), rng.choice([0.0, 0.02, 0.06]), rng)
        if k % 11 == 5:
            crystal = (crystal[0], crystal[1], np.array([int(rng.choice(CATIONS + ANIONS))] * len(crystal[2])))
        if k % 23 == 3:
            crystal = (crystal[0] * 0.15, crystal[1], crystal[2])
        if k % 10 == 9:
            crystal = disturbed(crystals[(k // 2 + 9) % 40], 0.0, 0.0, rng)
        samples.append({**facts, "status": "ok", **plain(crystal)})
    return samples, reference


def structure_of(item):
    from pymatgen.core import Lattice, Structure

    return Structure(Lattice(item["lattice"]), item["numbers"], item["frac"])


def structurally_valid(structure):
    """As CDVAE's code, with an atom's own images besides: every translation up to two cells away."""
    if structure.volume < 0.1:
        return False
    shifts = np.array(list(itertools.product(range(-2, 3), repeat=3)))
    frac = structure.frac_coords
    for i, j in itertools.combinations_with_replacement(range(len(frac)), 2):
        vectors = (frac[j] - frac[i] + shifts) @ structure.lattice.matrix
        distances = np.linalg.norm(vectors, axis=1)
        if i == j:
            distances = distances[np.any(shifts != 0, axis=1)]
        if distances.min() < 0.5:
            return False
    return True


def compositionally_valid(structure):
    """As CDVAE's code, oxidation states of the set smact14: every combination of states is tried."""
    import smact
    from smact.screening import pauling_test

    amounts = structure.composition.reduced_composition.get_el_amt_dict()
    symbols, counts = list(amounts), [int(value) for value in amounts.values()]
    if len(symbols) == 1 or all(symbol in smact.metals for symbol in symbols):
        return True
    elements = [smact.Element(symbol) for symbol in symbols]
    for states in itertools.product(*(element.oxidation_states_smact14 for element in elements)):
        if sum(state * count for state, count in zip(states, counts, strict=True)) == 0:
            try:
                agrees = pauling_test(states, [element.pauling_eneg for element in elements])
            except TypeError:
                agrees = True
            if agrees:
                return True
    return False


def wasserstein(ours, theirs):
    """Area between the two cumulative distributions."""
    ours, theirs = np.sort(ours), np.sort(theirs)
    grid = np.sort(np.concatenate([ours, theirs]))
    heights = [np.searchsorted(side, grid[:-1], side="right") / len(side) for side in (ours, theirs)]
    return float(np.sum(np.abs(heights[0] - heights[1]) * np.diff(grid)))


def match(samples, structures, reference, references, tolerance, valid, reference_valid):
    """Rates and errors with all pairs compared."""
    from pymatgen.analysis.structure_matcher import StructureMatcher

    matcher = StructureMatcher(**tolerance)
    rms = {}
    for (i, ours), (j, theirs) in itertools.product(enumerate(structures), enumerate(references)):
        distances = matcher.get_rms_dist(ours, theirs) if ours is not None else None
        if distances is not None:
            rms[i, j] = float(distances[0])
    groups = [[i for i, item in enumerate(samples) if item["reference_id"] == other["id"]] for other in reference]
    result = {}
    for n in (1, 2):
        best = [[rms[i, j] for i in group[:n] if (i, j) in rms] for j, group in enumerate(groups)]
        best_valid = [
            [rms[i, j] for i in group[:n] if (i, j) in rms and valid[i] and (reference_valid[j] or n > 1)]
            for j, group in enumerate(groups)
        ]
        for name, found in ((f"n={n}", best), (f"n={n} valid", best_valid)):
            matched = [min(values) for values in found if values]
            result[name] = {"count": len(matched), "of": len(groups), "rmse": float(np.mean(matched))}
    everyone = [[rms[i, j] for i in range(len(samples)) if (i, j) in rms] for j in range(len(reference))]
    penalised = [min(values, default=tolerance["stol"]) for values in everyone]
    result["metre"] = {"count": sum(map(bool, everyone)), "of": len(reference), "crmse": float(np.mean(penalised))}
    return result


def distinct(structures, known):
    """Numbers of different and of new structures at the strict tolerance, by group_structures and by fit with all."""
    from pymatgen.analysis.structure_matcher import StructureMatcher

    matcher = StructureMatcher(**STRICT)
    groups = len(matcher.group_structures(structures))
    new = sum(not any(matcher.fit(ours, other) for other in known) for ours in structures)
    return groups, new


def coverage(structures, references, total):
    """With matminer's fingerprints."""
    from matminer.featurizers.composition.composite import ElementProperty
    from matminer.featurizers.site.fingerprint import CrystalNNFingerprint

    sites, composition = CrystalNNFingerprint.from_preset("ops"), ElementProperty.from_preset("magpie")
    scaling = json.loads((HERE.parents[1] / "plugins" / "metrics" / "magpie.json").read_text())
    prints = {}
    for name, items in (("ours", structures), ("theirs", references)):
        order = [np.mean([sites.featurize(item, k) for k in range(len(item))], axis=0) for item in items]
        magpie = np.array([composition.featurize(item.composition) for item in items])
        prints[name] = np.array(order), (magpie - scaling["means"]) / scaling["stds"]
    near = [np.linalg.norm(a[:, None] - b[None], axis=-1) for a, b in zip(prints["ours"], prints["theirs"], strict=True)]
    recall = np.mean((near[0].min(0) <= 0.4) & (near[1].min(0) <= 10))
    precision = np.sum((near[0].min(1) <= 0.4) & (near[1].min(1) <= 10)) / total
    first = [prints["ours"][0][:3].round(9).tolist(), np.array(prints["ours"][1][:3]).round(9).tolist()]
    return {"recall": float(recall), "precision": float(precision), "first_fingerprints": first}


def expected(samples, reference):
    """Every figure that the plugins give, computed here."""
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    structures = [structure_of(item) if item["status"] == "ok" else None for item in samples]
    references = [structure_of(item) for item in reference]
    judged = [(structurally_valid(s), compositionally_valid(s)) if s is not None else (False, False) for s in structures]
    valid = [all(pair) for pair in judged]
    reference_valid = [structurally_valid(s) and compositionally_valid(s) for s in references]
    kept = [s for s, good in zip(structures, valid, strict=True) if good]
    unique, _ = distinct(kept, [])
    made = [s for s in structures if s is not None]
    made_unique, made_new = distinct(made, references)
    statuses = [item["status"] for item in samples]
    return {
        "chain": {
            "parsed": len(samples) - statuses.count("parse"),
            "valid graph": len(samples) - statuses.count("parse") - statuses.count("graph"),
            "decoded": statuses.count("ok"),
            "structurally valid": sum(one for one, _ in judged),
            "compositionally valid": sum(valid),
            "unique": unique,
        },
        "valid": [list(map(bool, pair)) for pair in judged],
        "novelty": {"unique": made_unique, "novel": made_new},
        "match": {
            name: match(samples, structures, reference, references, tolerance, valid, reference_valid)
            for name, tolerance in (("loose", LOOSE), ("strict", STRICT))
        },
        "distances": {
            "density": wasserstein([s.density for s in kept], [s.density for s in references]),
            "elements": wasserstein([len(s.elements) for s in kept], [len(s.elements) for s in references]),
            "atoms": wasserstein([len(s) for s in kept], [len(s) for s in references]),
            "volume_per_atom": wasserstein([s.volume / len(s) for s in kept], [s.volume / len(s) for s in references]),
        },
        "space_groups": {
            f"{precision:g}": [SpacegroupAnalyzer(s, symprec=precision).get_space_group_number() for s in references]
            for precision in (0.1, 0.01)
        },
        "coverage": coverage(kept, references, len(samples)),
        "made_with": {name: version(name) for name in ("pymatgen", "smact", "spglib", "matminer", "numpy", "scipy")},
    }


def main():
    """Write golden.json."""
    warnings.simplefilter("ignore")
    samples, reference = make_set()
    content = {"samples": samples, "reference": reference, "expected": expected(samples, reference)}
    assert all(math.isfinite(value) for value in content["expected"]["distances"].values())
    lines = [
        f'"{name}": [\n' + ",\n".join(json.dumps(item) for item in content[name]) + "\n]" for name in ("samples", "reference")
    ]
    lines.append(f'"expected": {json.dumps(content["expected"], indent=1)}')
    (HERE / "golden.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
