"""docs/start/quickstart.md, command by command as written, in an empty folder: the page makes every file that it needs."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from crystalfw.core.commands import cli

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "start" / "quickstart.md"
README = ROOT / "README.md"
MADE_BY = {
    "runs/smoke": "run smoke", "runs/composition": "run composition", "runs/unconditional": "run unconditional",
    "runs/finetune": "run finetune", "NaCl.cif": "data example", "my_crystals.csv": "data example", "mine.yaml": "",
    "sto/samples.csv": "sample",
}  # fmt: skip
"""What a page may name as an input, and the command that must stand above it (nothing: the page shows the file)."""


def commands(page: Path) -> list[str]:
    blocks = re.findall(r"^```bash\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("crystalfw ")]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:No Pauling electronegativity")
def test_every_command_of_the_quickstart_works(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    found = commands(PAGE)
    assert len(found) >= 15
    for command in found:
        program, *arguments = shlex.split(command)
        assert program == "crystalfw"
        expected = (0, 1) if "data check" in command else (0,)
        assert cli.main(arguments) in expected, f"{command}\n{capsys.readouterr()}"
    text = PAGE.read_text(encoding="utf-8")
    promised = re.findall(r"^\| `([^`]+)`", text.partition("holds\n")[2].partition("## Ask")[0], flags=re.MULTILINE)
    assert len(promised) >= 4
    for name in promised:
        assert (tmp_path / "runs" / "smoke" / name).exists(), name
    for made in ("predicted/cifs", "like_NaCl.extxyz", "like_NaCl.csv", "runs/finetune/start_weights.csv"):
        assert (tmp_path / made).exists(), made
    (recipe,) = re.findall(r"^```yaml\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    (tmp_path / "mine.yaml").write_text(recipe)
    assert cli.main(["run", "mine.yaml", "--print"]) == 0


@pytest.mark.parametrize("page", [PAGE, README], ids=lambda page: page.name)
def test_every_input_is_made_by_a_command_above(page):
    before: list[str] = []
    for command in commands(page):
        for name, maker in MADE_BY.items():
            used = [word for word in shlex.split(command) if word == name or word.endswith(f"={name}")]
            if used and maker:
                assert any(f"crystalfw {maker}" in line for line in before), f"{page.name}: {command}: nothing makes {name}"
        unknown = [
            word for word in shlex.split(command)[1:]
            if re.search(r"\.(csv|cif|yaml|zip)(\.gz)?$", word) and word.split("=")[-1] not in MADE_BY
            and not before_output(command, word)
        ]  # fmt: skip
        assert not unknown, f"{page.name}: {command}: {unknown} is made by no command"
        before.append(command)


def before_output(command: str, word: str) -> bool:
    """True for what follows -o."""
    words = shlex.split(command)
    return words[words.index(word) - 1] in ("-o", "--out")


@pytest.mark.slow
def test_the_first_commands_run_with_the_installed_wheel(tmp_path):
    """Not from the source tree: a wheel, unpacked beside nothing else, in a process of its own and an empty folder."""
    built = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", str(ROOT), "--no-deps", "--no-build-isolation", "-q", "-w", str(tmp_path / "w")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr[-2000:]
    (wheel,) = (tmp_path / "w").glob("*.whl")
    shutil.unpack_archive(wheel, tmp_path / "site", format="zip")
    (tmp_path / "empty").mkdir()
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r}); import crystalfw; assert 'site' in crystalfw.__file__\n"
    )
    code += "from crystalfw.core.commands.cli import main\n"
    chosen = [line for line in commands(PAGE) if line.split()[1] in ("predict", "data")]
    assert len(chosen) >= 4
    for line in chosen:
        code += f"assert main({shlex.split(line)[1:]!r}) in (0, 1), {line!r}\n"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "empty", capture_output=True, text=True, check=False, timeout=900
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "empty" / "NaCl.cif").exists()
    assert (tmp_path / "empty" / "predicted" / "cifs").is_dir()
