"""crystalfw: conditional crystal generation from components that a recipe names.

    import crystalfw
    candidates = crystalfw.predict("SrTiO3")
    solved = crystalfw.solve("pattern.xy", formula="NaCl")
    model = crystalfw.train("xattn", data={"path": "my_crystals.csv"})
    crystals = crystalfw.load("runs/xattn").sample(16, condition={"band_gap": 2.0})
    figures = crystalfw.evaluate(crystals, "data/test.csv.gz", metrics="shares,match")

Everything is loaded on first use; importing the package costs nothing. Wherever crystals go in, they may be a Crystal,
a pymatgen Structure, ASE Atoms, a path, or a list of these.
"""

from typing import TYPE_CHECKING, Any, overload

__version__ = "0.1.0"

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import numpy as np

    from crystalfw.core.crystal import Crystal as Crystal
    from crystalfw.core.data.reading import CrystalsLike
    from crystalfw.core.errors import CrystalfwError as CrystalfwError
    from crystalfw.core.evaluate.inputs import Samples
    from crystalfw.core.powder.solving import Solved
    from crystalfw.core.records import Decoded, Encoded, Proposal
    from crystalfw.core.records import Sample as Sample
    from crystalfw.core.sample.trained import Trained as Trained
    from crystalfw.plugins.representations import slices as slices

__all__ = [
    "Crystal", "CrystalfwError", "Sample", "Trained", "create", "decode", "embed", "encode", "evaluate", "load", "predict",
    "slices", "solve", "train",
]  # fmt: skip
_CLASSES = {"Crystal": "crystal", "CrystalfwError": "errors", "Sample": "records", "Trained": "sample.trained"}


def create(kind: str, name: str, **options: Any) -> Any:
    """An instance of a registered component, e.g. create("encoder", "equivariant", lmax=2).

    Raises PluginError for an unknown kind, name or option.
    """
    from crystalfw.core.recipe.options import create as make

    return make(kind, name, options)


def load(run: "str | Path", *, which: str = "best", device: str = "cpu") -> "Trained":
    """A trained model from a run folder (its best or last checkpoint), a checkpoint file, or the name of a delivered model.

    Raises CheckpointError where it is damaged or of a newer format.
    """
    from crystalfw.core.sample.trained import Trained

    return Trained.load(run, which=which, device=device)


def train(recipe: "str | Path", /, **overrides: Any) -> "Trained":
    """Train, sample, evaluate and report as `crystalfw run` does, and return the best checkpoint, loaded.

    `recipe` is a file or the name of an installed recipe. A section of the recipe is overridden key by key, e.g.
    train("xattn", fit={"steps": 500}, model={"encoder": "composition"}). Raises RecipeError with every mistake at once.
    """
    import json
    from collections.abc import Mapping

    from crystalfw.core.recipe import load_recipe
    from crystalfw.core.run.run import run_recipe

    pairs: dict[str, Any] = {}
    for name, value in overrides.items():
        pairs |= {f"{name}.{key}": below for key, below in value.items()} if isinstance(value, Mapping) else {name: value}
    run_dir = run_recipe(load_recipe(recipe, [f"{key}={json.dumps(value, default=str)}" for key, value in pairs.items()]))
    assert run_dir is not None, "only a dry run has no folder"
    return load(run_dir)


@overload
def predict(  # type: ignore[overload-overlap]  # a str is an Iterable[str] too; the first signature takes it
    composition: str, n: int = 20, *, atoms: int | None = None, library: "str | Path | None" = None
) -> "list[Proposal]": ...
@overload
def predict(
    composition: "Iterable[str]", n: int = 20, *, atoms: int | None = None, library: "str | Path | None" = None
) -> "list[list[Proposal]]": ...
def predict(
    composition: "str | Iterable[str]", n: int = 20, *, atoms: int | None = None, library: "str | Path | None" = None
) -> "list[Proposal] | list[list[Proposal]]":
    """At most n ranked crystals of a composition, as `crystalfw predict` finds them: `.crystal`, `.probability`, `.origin`,
    `.why`. Several compositions give a list for each.

    `atoms`: of the primitive cell; any if None. `library`: known crystals to learn from, or what `crystalfw library fit` wrote;
    otherwise an installed model answers. Raises ConditionError with every composition that cannot be asked for.
    """
    from crystalfw.core.predict.asking import predict as answers

    if isinstance(composition, str):
        return answers([composition], n, atoms=atoms, library=library)[0]
    return answers(list(composition), n, atoms=atoms, library=library)


def solve(
    pattern: "str | Path",
    *,
    formula: str | None = None,
    elements: str | None = None,
    wavelength: "str | float | None" = None,
    library: "str | Path | None" = None,
    candidates: int = 150,
) -> "Solved":
    """The crystals that explain a measured powder pattern, as `crystalfw solve` finds them: `.crystals`, the likeliest first,
    `.verdict`, and the fits in `.solution`.

    Give the formula, or the elements as "Fe,O,P". `wavelength`: CuKa, CoKa ... or angstrom; otherwise the file's, or CuKa.
    Raises DataError for a file without a pattern, ConditionError for a request that cannot be answered.
    """
    from crystalfw.core.predict.asking import solve as find

    return find(pattern, formula, elements, wavelength=wavelength, library=library, candidates=candidates)


def evaluate(
    samples: "Samples",
    reference: "CrystalsLike | None" = None,
    metrics: "str | Iterable[str] | None" = None,
    **options: Any,
) -> "dict[str, Any]":
    """The figures of metrics over samples: the content of metrics.json, with protocol, counts and versions.

    `samples`: crystals, Sample objects, a run folder or a file. `metrics`: names, or as on the command line
    "shares,match:n=[1,20]"; otherwise the usual ones. `options` are those of crystalfw.core.evaluate.evaluate, e.g. training,
    out (a folder for metrics.json), workers. Nothing is written without `out`.
    """
    from crystalfw.core.commands.evaluate import parse_metrics
    from crystalfw.core.evaluate.evaluation import evaluate as compute

    if metrics is not None:
        options["metrics"] = parse_metrics(metrics if isinstance(metrics, str) else ",".join(metrics))
    return compute(samples, reference, **{"quiet": True, **options})


def embed(model: "Trained | str | Path", crystals: "CrystalsLike") -> "np.ndarray":
    """The vectors (N, C) that a trained model's encoder gives N crystals."""
    from crystalfw.core.sample.trained import Trained

    return (model if isinstance(model, Trained) else load(model)).embed(crystals)


def encode(crystals: "CrystalsLike", dialect: str = "plain") -> "list[Encoded]":
    """SLICES strings of crystals: an outcome for each, with `.string`, or `.reason` why there is none."""
    from crystalfw.core.data.reading import as_crystals

    encoded: list[Encoded] = create("representation", "slices", dialect=dialect, max_atoms=256).encode(
        list(as_crystals(crystals))
    )
    return encoded


def decode(strings: "str | Iterable[str]") -> "list[Decoded]":
    """Crystals of SLICES strings: an outcome for each, with `.crystal`, or `.reason` and `.message` why there is none."""
    found: list[Decoded] = create("representation", "slices", max_atoms=256).decode(
        [strings] if isinstance(strings, str) else list(strings)
    )
    return found


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name == "slices":
        return import_module("crystalfw.plugins.representations.slices")
    if name in _CLASSES:
        return getattr(import_module(f"crystalfw.core.{_CLASSES[name]}"), name)
    raise AttributeError(f"module 'crystalfw' has no attribute {name!r}")
