"""Where a recipe is found: as a file, beside the file that names it, or among those that come with crystalfw."""

from __future__ import annotations

from pathlib import Path

from crystalfw.core.errors import RecipeError, did_you_mean

GRIDS = "ablations"
"""Sub-folder of recipes/ that holds grids."""
PROTOCOLS = "protocols"
"""Sub-folder of recipes/ that holds protocols of evaluation."""
SUFFIX = ".yaml"


def find_recipe(path: str | Path) -> Path:
    """The file: as given, or the installed recipe of that bare name. Raises RecipeError listing what is installed."""
    given = Path(path)
    if given.is_file():
        return given
    installed = installed_recipes()
    name = str(path).removesuffix(".yaml")
    if name in installed:
        return installed[name]
    if given.is_dir() and (given / "recipe.yaml").is_file():
        return given / "recipe.yaml"
    reason = "is a folder without recipe.yaml" if given.is_dir() else "no such recipe"
    raise RecipeError([f"{path}: {reason}.\n  {did_you_mean(name, installed, 'Installed recipes')}"])


def installed_recipes() -> dict[str, Path]:
    """Name -> file of the recipes that come with crystalfw; those in sub-folders as `folder/name`. Neither grids nor
    protocols are recipes."""
    return {name: file for name, file in _installed().items() if file.parent.name not in (GRIDS, PROTOCOLS)}


def installed_protocols() -> dict[str, Path]:
    """Name -> file of the protocols of evaluation that come with crystalfw."""
    return {file.stem: file for file in _installed().values() if file.parent.name == PROTOCOLS}


def installed_grids() -> dict[str, Path]:
    """Name -> file of the grids for `crystalfw ablate` that come with crystalfw."""
    return {file.stem: file for file in _installed().values() if file.parent.name == GRIDS}


def _installed() -> dict[str, Path]:
    """Every YAML file that comes with crystalfw, by its place below recipes/."""
    from importlib.util import find_spec

    spec = find_spec("crystalfw.recipes")
    folders = [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []
    found = {file.relative_to(top).with_suffix("").as_posix(): file for top in folders for file in top.rglob("*.yaml")}
    return dict(sorted(found.items(), key=lambda pair: ("/" in pair[0], pair[0])))


def find_base(name: str, beside: Path) -> Path | None:
    """The recipe that the file `beside` names as its base: a file in the same folder, otherwise an installed recipe.

    The ending .yaml may be left out. A file is never its own base, so that a user's `smoke.yaml` can build on the
    installed one. Raises OSError or ValueError if `name` cannot be a file's name.
    """
    own = beside.resolve()
    for candidate in (beside.parent / name, beside.parent / f"{name}{SUFFIX}"):
        if candidate.is_file() and candidate.resolve() != own:
            return candidate
    found = installed_recipes().get(name.removesuffix(SUFFIX))
    return None if found is None or found.resolve() == own else found


def base_suggestion(name: str, beside: Path) -> str:
    """`Did you mean ...?` for a base that was not found, among the files in the folder and the installed recipes."""
    there = [file.stem for file in sorted(beside.parent.glob(f"*{SUFFIX}")) if file.stem != beside.stem]
    return did_you_mean(name.removesuffix(SUFFIX), [*there, *installed_recipes()], "Recipes")
