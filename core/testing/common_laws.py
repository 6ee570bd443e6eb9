"""The laws of every kind: what a component says of itself to caches and checkpoints."""

from __future__ import annotations

from typing import Any

from packaging.version import InvalidVersion, Version

from crystalfw.core.recipe.options import construct, make_config
from crystalfw.core.records import Vocabulary
from crystalfw.core.registry import KINDS
from crystalfw.core.testing.laws import Broken, Subject, law

_VOCABULARY = Vocabulary(tokens=("<pad>", "<begin>", "<end>", *"abcdefgh"))


def dimensions_of(subject: Subject) -> dict[str, Any]:
    """What the assembly would tell the constructor of a component of this kind."""
    told: dict[str, dict[str, Any]] = {
        "conditioning": {"encoder_dim": 24, "decoder_dim": 32, "n_layers": 2},
        "decoder": {"encoder_dim": 24, "vocabulary": _VOCABULARY},
        "source": {"path": subject.path},
    }
    return told.get(subject.kind, {})


def config(subject: Subject) -> None:  # noqa: D103
    given = make_config(subject.component, dict(subject.options), f"{subject.kind} '{subject.component.__name__}'")
    component = construct(subject.component, given, **dimensions_of(subject))
    if component.config != given:
        raise Broken(f"it was given {given!r:.200} and keeps {component.config!r:.200}.")


def version(subject: Subject) -> None:  # noqa: D103
    stated = subject.component.version
    try:
        Version(stated)
    except (InvalidVersion, TypeError) as error:
        raise Broken(f"it is {stated!r}.") from error


for _kind in KINDS:
    law(
        _kind,
        "`config` is the Config that the constructor was given.",
        "Assign self.config = config, or leave it to core; keep derived values under another name.",
    )(config)
    law(
        _kind,
        "`version` is text that says which of two versions is older.",
        'Write a number as text, such as "1", "2" or "2.1".',
    )(version)
