"""The rooms of core/: no import circle, no import that runs upwards, every file on a floor."""

from __future__ import annotations

from pathlib import Path

from tests.packaging.house import FLOOR, circles, files, graph, loose_attributes, room, upward

ROOT = Path(__file__).parents[2]
ARROWS = graph(ROOT)


def test_no_files_import_each_other():
    assert circles(ARROWS) == [], "these files import each other; move what both need to a file below them"


def test_no_import_runs_upwards():
    assert upward(ARROWS) == [], "a lower room imports a higher one (tests/packaging/house.py lists the floors)"


def test_every_file_of_core_stands_in_a_room():
    homeless = [name for name in files(ROOT) if name.startswith("crystalfw.core.") and room(name) not in FLOOR]
    assert homeless == [], "give the room a floor in tests/packaging/house.py and a line in core/README.md"


def test_core_asks_components_only_for_what_a_contract_declares():
    assert loose_attributes(ROOT) == [], "declare the attribute in core/interfaces.py and read it plainly"


def test_the_measures_see_what_they_forbid(tmp_path):
    """A planted circle, a planted upward import and a planted getattr are found."""
    for name, text in {
        "core/system/files.py": "from crystalfw.core.sample import engine",
        "core/sample/engine.py": "from crystalfw.core.system import files\n\nx = lambda decoder: getattr(decoder, 'x', 0)",
        "core/__init__.py": "", "core/system/__init__.py": "", "core/sample/__init__.py": "",
    }.items():  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    arrows = graph(tmp_path)
    assert circles(arrows) == [["crystalfw.core.sample.engine", "crystalfw.core.system.files"]]
    assert "crystalfw.core.system.files -> crystalfw.core.sample.engine" in upward(arrows)
    assert loose_attributes(tmp_path) == ["core/sample/engine.py:3 decoder.x"]
