"""A trained run made a delivered model: weights without the optimiser's state, a card, the figures of its test part.

What the run folder says of the machine that trained it (paths, arguments) stays behind.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import yaml

from crystalfw.core.crystal import Crystal
from crystalfw.core.discovery import registry
from crystalfw.core.errors import CheckpointError, DataError, did_you_mean
from crystalfw.core.interfaces import PropertyDecoder
from crystalfw.core.model import checkpoint
from crystalfw.core.packaged.card import CARD, MODEL, Card
from crystalfw.core.packaged.integrity import digests
from crystalfw.core.predict.saved import RECORD
from crystalfw.core.predict.saved import load as load_saved
from crystalfw.core.recipe import expand
from crystalfw.core.recipe.schema import ComponentSpec, DataSection, Recipe
from crystalfw.core.run.after_fit import write_predictions
from crystalfw.core.sample.trained import MEMBERS, Trained
from crystalfw.core.system.files import write_text_atomically
from crystalfw.core.system.progress import Say
from crystalfw.core.system.versions import versions

FIGURES = "metrics.json"
KEPT = ("versions", "components", "seed", "cores", "system", "crystals", "ranges", "rejected", "precision")
"""What a delivered model keeps of its provenance."""
WRITTEN = ("name", "kind", "parameters", "components", "crystalfw", "files", "format")
"""Fields of a card that export fills in itself."""


def export_model(run: Path, folder: Path, *, name: str, stated: Mapping[str, Any], half: bool = False) -> Card:
    """Write the best checkpoint of a run as a delivered model into `folder`, and return its card.

    `stated`: fields of the card, as people write them. `half` stores weights in 16 bits: half the size; they are computed with
    in 32 bits all the same. Raises CheckpointError, or DataError for a field that a card does not have.
    """
    path = checkpoint.find(run, "best")
    payload, trained = checkpoint.load(path), Trained.load(path)
    card = _stated(stated, name, trained, payload)
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint.save(folder / MODEL, _stripped(payload, trained.recipe, name, half=half))
    if (figures := _figures(run)) is not None:
        write_text_atomically(folder / FIGURES, json.dumps(figures, indent=2) + "\n")
    return seal(folder, card)


def export_ensemble(
    runs: Sequence[Path], folder: Path, *, name: str, stated: Mapping[str, Any], validation: Sequence[Crystal],
    test: Sequence[Crystal], say: Say, half: bool = False,
) -> Card:  # fmt: skip
    """Write the best checkpoints of several predictors as one delivered model, and return its card.

    `validation`: crystals by which the intervals of the average are calibrated, in no run's train part; `test`: crystals by
    which its errors are said, in neither. Raises CheckpointError for a run that predicts nothing.
    """
    networks = [(checkpoint.load(path), Trained.load(path)) for path in (checkpoint.find(run, "best") for run in runs)]
    for run, (_, trained) in zip(runs, networks, strict=True):
        if not trained.targets or trained.members:
            what = "is an ensemble already" if trained.members else "generates crystals"
            raise CheckpointError(f"{run}: {what}; an ensemble takes single networks that predict properties")
    stripped = [_stripped(payload, trained.recipe, name, half=half) for payload, trained in networks]
    first = {**stripped[0], MEMBERS: [{"calibration": stripped[0]["calibration"]}, *stripped[1:]], "calibration": {}}
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint.save(folder / MODEL, first)
    ensemble = Trained.load(folder / MODEL)
    checkpoint.save(folder / MODEL, {**first, "calibration": ensemble.calibrate(validation)})
    with tempfile.TemporaryDirectory() as scratch:
        write_predictions(ensemble, test, Path(scratch), say)
        if (figures := _figures(Path(scratch))) is not None:
            write_text_atomically(folder / FIGURES, json.dumps(figures, indent=2) + "\n")
    hours = sum(float((payload.get("state") or {}).get("elapsed_s", 0.0)) for payload, _ in networks) / 3600
    card = _stated({"hours": round(hours, 2), **stated}, name, networks[0][1], networks[0][0])
    return seal(folder, replace(card, parameters=sum(_size(trained) for _, trained in networks)))


def export_predictor(saved: Path, folder: Path, *, name: str, stated: Mapping[str, Any]) -> Card:
    """Write what `crystalfw library fit` made, a library with its fitted retriever and ranker, as a delivered model.

    Raises DataError where it is damaged, or for a field that a card does not have.
    """
    predictor = load_saved(saved)
    record = json.loads((saved / RECORD).read_text(encoding="utf-8"))
    components = {
        f"{kind} {record[kind]['name']}": str(registry().get(kind, record[kind]["name"]).origin)
        for kind in ("retriever", "ranker")
    }
    card = Card(
        name=name, kind="retriever", components=components, crystalfw=versions()["crystalfw"],
        parameters=sum(p.numel() for part in (predictor.retriever, predictor.ranker) for p in part.state_dict().values()),
        **_known_fields(stated),
    )  # fmt: skip
    shutil.copytree(saved, folder)
    return seal(folder, card)


def seal(folder: Path, card: Card) -> Card:
    """Write the card with the checksums of the files that now lie in the folder."""
    card = replace(card, files=digests(folder))
    write_text_atomically(folder / CARD, card.text())
    return card


def read_stated(path: Path) -> dict[str, Any]:
    """The fields of a card from a YAML file. Raises DataError where it is none."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"{path}: cannot be read as YAML: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(found, dict):
        raise DataError(f"{path}: must be a mapping with fields of the card, e.g. answers: ...")
    return found


def _stated(stated: Mapping[str, Any], name: str, trained: Trained, payload: Mapping[str, Any]) -> Card:
    provenance = json.loads(str(payload.get("provenance", "{}")))
    state = payload.get("state") or {}
    given = {"seed": trained.recipe.seed, "hours": round(float(state.get("elapsed_s", 0.0)) / 3600, 2), **_known_fields(stated)}
    predicts = isinstance(trained.generator.decoder, PropertyDecoder)
    return Card(
        name=name, kind="predictor" if predicts else "generator",
        parameters=_size(trained),
        components=dict(provenance.get("components", {})),
        crystalfw=str(provenance.get("versions", {}).get("crystalfw", "")),
        **given,
    )  # fmt: skip


def _size(trained: Trained) -> int:
    return sum(parameter.numel() for parameter in trained.generator.parameters())


def _known_fields(stated: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fields that people write, if a card has them all."""
    known = [f.name for f in fields(Card) if f.name not in WRITTEN]
    for key in stated:
        if key not in known:
            raise DataError(f"card: there is no field '{key}'. {did_you_mean(str(key), known, 'There are')}")
    return stated


def _stripped(payload: Mapping[str, Any], recipe: Recipe, name: str, *, half: bool) -> dict[str, Any]:
    """The checkpoint without optimiser, progress and whatever names a place on this machine."""
    model = replace(recipe.model, checkpoint=None, encoder_checkpoint=None)
    data = replace(recipe.data, path=None, source=ComponentSpec(name="auto"), cache=DataSection().cache)
    plain = replace(recipe, name=name, run_dir="runs", data=data, model=model)
    provenance = json.loads(str(payload.get("provenance", "{}")))
    weights = {
        key: value.half() if half and value.is_floating_point() and value.dim() > 1 else value
        for key, value in payload["model"].items()
    }
    components = {place: version for place, version in payload["components"].items() if place != "data.source"}
    kept = {"components": components, "calibration": payload.get("calibration", {})}
    if payload.get("training_columns"):
        kept["training_columns"] = payload["training_columns"]
    said = json.dumps({key: provenance[key] for key in KEPT if key in provenance})
    return {"recipe": _checked(expand(plain)), "name": name, "provenance": said, **kept, "model": weights}


def _checked(recipe: str) -> str:
    """The recipe's text, once it was read again: what is delivered must load."""
    from crystalfw.core.recipe import load_recipe

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recipe.yaml"
        path.write_text(recipe, encoding="utf-8")
        load_recipe(path)
    return recipe


def _figures(run: Path) -> dict[str, Any] | None:
    """The run's errors on its test part, for metrics that use the model as a predictor; None without any."""
    path = (run if run.is_dir() else run.parent.parent) / FIGURES
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return {"prediction": found["prediction"]} if isinstance(found, dict) and "prediction" in found else None


def model_folders(path: Path) -> list[Path]:
    """The models in a folder: itself, or those of a package (src/PACKAGE/MODEL). Raises CheckpointError without any."""
    found = [path] if (path / CARD).is_file() else sorted(card.parent for card in path.glob(f"src/*/*/{CARD}"))
    if not found:
        raise CheckpointError(
            f"{path}: holds no model: neither {CARD} nor a package with src/PACKAGE/MODEL/{CARD}; "
            f"`crystalfw export RUN -o {path}` writes one"
        )
    return found
