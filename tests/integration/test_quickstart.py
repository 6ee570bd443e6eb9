"""docs/start/quickstart.md, command by command, in one process."""

from __future__ import annotations

import csv
import re
import shlex
from itertools import islice
from pathlib import Path

import pytest

from crystalfw.core import Crystal
from crystalfw.core.commands import cli
from crystalfw.core.recipe.options import create

PAGE = Path(__file__).parents[2] / "docs" / "start" / "quickstart.md"


def write_table(path: Path) -> None:
    """A table of 60 of the embedded crystals: 'your data'."""
    source = create("source", "prototypes", path=None)
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["material_id", "cif", "my_property"])
        crystals = (item for item in source.read("train") if isinstance(item, Crystal) and item.n_atoms <= 8)
        for number, crystal in enumerate(islice(crystals, 60)):
            writer.writerow([crystal.id or f"c{number}", crystal.cif(), number])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:No Pauling electronegativity")
def test_every_command_of_the_quickstart_works(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_table(tmp_path / "my_crystals.csv")
    text = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"^```bash\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    commands = [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]
    assert len(commands) >= 9
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "crystalfw"
        assert cli.main(arguments) == 0, f"{command}\n{capsys.readouterr()}"
    promised = re.findall(r"^\| `([^`]+)`", text.partition("holds\n")[2].partition("## Change")[0], flags=re.MULTILINE)
    assert len(promised) >= 4
    for name in promised:
        assert (tmp_path / "runs" / "smoke" / name).exists(), name
