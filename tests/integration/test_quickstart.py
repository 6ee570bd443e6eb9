"""docs/quickstart.md, command by command."""

from __future__ import annotations

import csv
import os
import re
import shlex
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest

from crystalfw.core import Crystal
from crystalfw.core.discovery import registry

PAGE = Path(__file__).parents[2] / "docs" / "quickstart.md"


def write_table(path: Path) -> None:
    """A table of 60 of the embedded crystals: 'your data'."""
    source = registry().create("source", "prototypes", path=None)
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["material_id", "cif", "my_property"])
        crystals = (item for item in source.read("train") if isinstance(item, Crystal) and item.n_atoms <= 8)
        for number, crystal in enumerate(islice(crystals, 60)):
            writer.writerow([crystal.id or f"c{number}", crystal.cif(), number])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:No Pauling electronegativity")
def test_every_command_of_the_quickstart_works(tmp_path):
    text = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"^```bash\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    commands = [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]
    assert len(commands) >= 9
    write_table(tmp_path / "my_crystals.csv")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "crystalfw"
        done = subprocess.run(
            [sys.executable, "-m", "crystalfw", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-1500:]}{done.stderr[-1500:]}"
    run = tmp_path / "runs" / "smoke"
    promised = re.findall(r"^\| `([^`]+)`", text.partition("holds\n")[2].partition("## Change")[0], flags=re.MULTILINE)
    assert len(promised) >= 4
    for name in promised:
        assert (run / name).exists(), name
