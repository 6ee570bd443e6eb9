"""A small table of real compounds' structures and a short way to run the command."""

import csv
import os
import subprocess
import sys

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from crystalfw.core.crystal import Crystal

PROTOTYPES = {
    "rocksalt": ("Fm-3m", [[0, 0, 0], [0.5, 0.5, 0.5]]),
    "cesium chloride": ("Pm-3m", [[0, 0, 0], [0.5, 0.5, 0.5]]),
    "zincblende": ("F-43m", [[0, 0, 0], [0.25, 0.25, 0.25]]),
}
RADIUS = {"Li": 0.76, "Na": 1.02, "K": 1.38, "Rb": 1.52, "Cs": 1.67, "F": 1.33, "Cl": 1.81, "Br": 1.96, "I": 2.20}
"""Shannon ionic radii in angstrom, coordination 6."""
SMOKE = "smoke"


def halides():
    """Sixty alkali halides in three structure types, bond lengths from ionic radii; `gap` falls with the anion's size."""
    for cation in ("Li", "Na", "K", "Rb", "Cs"):
        for anion in ("F", "Cl", "Br", "I"):
            bond = RADIUS[cation] + RADIUS[anion]
            edges = (2 * bond, 2 * bond / np.sqrt(3), 4 * bond / np.sqrt(3))
            for (name, (group, sites)), edge in zip(PROTOTYPES.items(), edges, strict=True):
                structure = Structure.from_spacegroup(group, Lattice.cubic(edge), [cation, anion], sites)
                yield f"{cation}{anion} {name}", structure.get_primitive_structure(), 12.0 - 4 * RADIUS[anion]


@pytest.fixture(scope="session")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "halides.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["material_id", "cif", "gap"])
        for name, structure, gap in halides():
            writer.writerow([name, Crystal.from_structure(structure).cif(), round(gap, 3)])
    return path


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def command(table, cache, tmp_path):
    """Arguments of a tiny run on the table, in a folder of the test's own."""

    def arguments(*overrides, recipe=SMOKE):
        return ["run", str(recipe), f"data.path={table}", f"data.cache={cache}", f"run_dir={tmp_path / 'runs'}", *overrides]

    return arguments


@pytest.fixture
def start():
    """Start the command as a user would, in a process of its own; those still running are ended after the test."""
    running = []

    def popen(arguments, **variables):
        command = [sys.executable, "-m", "crystalfw", *arguments]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        running.append(process)
        return process

    yield popen
    for process in running:
        process.kill()
        process.communicate()
