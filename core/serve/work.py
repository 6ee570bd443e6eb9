"""What can be asked for: each kind of work is a typed request that knows the command line and the Python lines that do it.

The text of a request never becomes an option: formulas, names and conditions are checked against patterns.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Protocol

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


def _plain(pattern: str, what: str) -> AfterValidator:
    """Text that the pattern matches, or a sentence that says what was expected."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value.strip()):
            raise ValueError(f"'{value[:60]}' is not {what}")
        return value.strip()

    return AfterValidator(check)


Formula = Annotated[str, _plain(r"[A-Za-z(\[][A-Za-z0-9()\[\].]{0,199}", "a formula such as SrTiO3")]
Name = Annotated[str, _plain(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}", "a name of letters, digits, dot, dash and underscore")]
Element = Annotated[str, _plain(r"[A-Z][a-z]?", "the symbol of an element")]
Wavelength = Annotated[
    str, _plain(r"[A-Z][a-z]Ka1?|[0-9]+(\.[0-9]+)?", "a wavelength: CuKa, CoKa, MoKa ..., or a number of angstrom")
]
Constraint = Literal["allowed_elements", "required_elements", "forbidden_elements", "charge_balanced"]
ConditionText = Annotated[str, Field(max_length=200)]


class Places(Protocol):
    """Who knows the paths behind the names of a request."""

    def upload(self, id: str) -> Path:
        """The file of an upload."""

    def model(self, name: str) -> str:
        """The run folder, or the name of a delivered model."""


class Work(BaseModel):
    """A request for work."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())
    command: ClassVar[str]
    table: ClassVar[str | None] = "samples.csv"
    """The table of crystals that comes out, beside the job's folder."""

    def arguments(self, places: Places, out: str) -> list[str]:
        """The arguments of the command; results go to the folder `out`."""
        raise NotImplementedError

    def python(self, places: Places) -> str:
        """The Python lines that do the same."""
        raise NotImplementedError

    def line(self, places: Places, out: str) -> str:
        """The command line, to be copied."""
        return shlex.join(["crystalfw", self.command, *self.arguments(places, out)])


class PredictWork(Work):
    """Rank the crystals that a composition may take."""

    command: ClassVar[str] = "predict"
    kind: Literal["predict"] = "predict"
    formulas: list[Formula] = Field(default_factory=list, max_length=100, description="Compositions, e.g. SrTiO3")
    table_upload: Name | None = Field(None, description="An uploaded table with columns id and composition instead")
    n: int = Field(20, ge=1, le=200, description="Candidates for each composition")
    atoms: int | None = Field(None, ge=1, le=400, description="Atoms in the primitive cell; any if empty")

    @model_validator(mode="after")
    def _something(self) -> PredictWork:
        if not self.formulas and not self.table_upload:
            raise ValueError("give a formula, e.g. SrTiO3, or a table with columns id and composition")
        return self

    def arguments(self, places: Places, out: str) -> list[str]:
        """See Work."""
        table = [str(places.upload(self.table_upload))] if self.table_upload else []
        atoms = ["--atoms", str(self.atoms)] if self.atoms else []
        return [*self.formulas, *table, "-n", str(self.n), *atoms, "-o", out]

    def python(self, places: Places) -> str:
        """See Work."""
        several = [*self.formulas, *([str(places.upload(self.table_upload))] if self.table_upload else [])]
        asked: Any = several[0] if len(self.formulas) == 1 and not self.table_upload else several
        atoms = f", atoms={self.atoms}" if self.atoms else ""
        return f"import crystalfw\n\ncandidates = crystalfw.predict({asked!r}, n={self.n}{atoms})\n"


class GenerateWork(Work):
    """Sample crystals from a trained model under conditions."""

    command: ClassVar[str] = "sample"
    kind: Literal["generate"] = "generate"
    model: str = Field(min_length=1, max_length=400, description="A run of the page's folder, or a delivered model")
    n: int = Field(20, ge=1, le=10_000, description="Strings to write; some of them fail to become crystals")
    conditions: dict[Name, float | ConditionText] = Field(default_factory=dict, max_length=20)
    like_upload: Name | None = Field(None, description="An uploaded crystal to be like")
    constraints: dict[Constraint, list[Element] | bool] = Field(default_factory=dict)
    composition_exact: bool = Field(False, description="Exactly the composition of the condition")
    temperature: float | None = Field(None, gt=0, le=5)
    guidance: float | None = Field(None, ge=0, le=20)
    seed: int = Field(0, ge=0, lt=2**31)

    def arguments(self, places: Places, out: str) -> list[str]:
        """See Work."""
        found = [places.model(self.model), "--n", str(self.n), "--seed", str(self.seed)]
        for name, value in self.conditions.items():
            found += ["--condition", f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"]
        found += ["--like", str(places.upload(self.like_upload))] if self.like_upload else []
        for rule, asked in self.constraints.items():
            found += ["--constraint", f"{rule}={','.join(asked) if isinstance(asked, list) else str(asked).lower()}"]
        found += ["--composition-exact"] if self.composition_exact else []
        for name in ("temperature", "guidance"):
            found += [f"--{name}", f"{getattr(self, name):g}"] if getattr(self, name) is not None else []
        return [*found, "-o", f"{out}/samples.csv"]

    def python(self, places: Places) -> str:
        """See Work."""
        given = [str(self.n)]
        given += [f"condition={self.conditions!r}"] if self.conditions else []
        given += [f"like={str(places.upload(self.like_upload))!r}"] if self.like_upload else []
        rules: dict[str, Any] = {}
        rules.update((name, value) for name, value in self.constraints.items())
        if self.composition_exact:
            rules["composition"] = "from_condition"
        given += [f"constraints={rules!r}"] if rules else []
        given += [f"{name}={getattr(self, name):g}" for name in ("temperature", "guidance") if getattr(self, name) is not None]
        given += [f"seed={self.seed}"]
        return f"import crystalfw\n\ncrystals = crystalfw.load({places.model(self.model)!r}).sample({', '.join(given)})\n"


class SolveWork(Work):
    """Find the crystal of a powder pattern."""

    command: ClassVar[str] = "solve"
    kind: Literal["solve"] = "solve"
    pattern_upload: Name = Field(description="The uploaded pattern")
    formula: Formula | None = None
    elements: list[Element] = Field(default_factory=list, max_length=12)
    wavelength: Wavelength | None = Field(None, description="CuKa, CoKa, ... or angstrom; the file's, or CuKa, if empty")

    @model_validator(mode="after")
    def _one(self) -> SolveWork:
        if bool(self.formula) == bool(self.elements):
            raise ValueError("give either the formula or the elements")
        return self

    def arguments(self, places: Places, out: str) -> list[str]:
        """See Work."""
        known = ["--formula", self.formula] if self.formula else ["--elements", ",".join(self.elements)]
        wavelength = ["--wavelength", self.wavelength] if self.wavelength else []
        return [str(places.upload(self.pattern_upload)), *known, *wavelength, "-o", out]

    def python(self, places: Places) -> str:
        """See Work."""
        known = f"formula={self.formula!r}" if self.formula else f"elements={','.join(self.elements)!r}"
        wavelength = f", wavelength={self.wavelength!r}" if self.wavelength else ""
        pattern = str(places.upload(self.pattern_upload))
        return f"import crystalfw\n\nsolved = crystalfw.solve({pattern!r}, {known}{wavelength})\nsolved.crystals[0]\n"


class TrainWork(Work):
    """Train a recipe that came with crystalfw."""

    command: ClassVar[str] = "run"
    table: ClassVar[str | None] = None
    kind: Literal["train"] = "train"
    recipe: Name = Field(description="The name of an installed recipe, e.g. smoke")
    data_upload: Name | None = Field(None, description="An uploaded table of crystals; the recipe's own data if empty")
    minutes: float | None = Field(None, gt=0, le=10_000, description="Stop training after so many minutes")
    steps: int | None = Field(None, ge=1, le=10**9)
    seed: int = Field(0, ge=0, lt=2**31)

    def _overrides(self, places: Places) -> dict[str, Any]:
        found: dict[str, Any] = {"seed": self.seed}
        found |= {"data.path": str(places.upload(self.data_upload))} if self.data_upload else {}
        found |= {"fit.max_minutes": self.minutes} if self.minutes else {}
        return found | ({"fit.steps": self.steps} if self.steps else {})

    def arguments(self, places: Places, out: str) -> list[str]:
        """See Work."""
        return [self.recipe, *(f"{key}={value}" for key, value in self._overrides(places).items()), "-o", out]

    def python(self, places: Places) -> str:
        """See Work."""
        nested: dict[str, Any] = {}
        for key, value in self._overrides(places).items():
            first, _, rest = key.partition(".")
            nested[first] = {**nested.get(first, {}), rest: value} if rest else value
        given = "".join(f", {name}={value!r}" for name, value in nested.items())
        return f"import crystalfw\n\nmodel = crystalfw.train({self.recipe!r}{given})\n"


AnyWork = Annotated[PredictWork | GenerateWork | SolveWork | TrainWork, Field(discriminator="kind")]
