"""Recipe -> components -> Generator; a mismatch names both recipe lines before any data is read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch

from crystalfw.core.discovery import registry
from crystalfw.core.errors import PluginError, RecipeError
from crystalfw.core.interfaces import Conditioning, Decoder, Encoder, PropertyDecoder, Representation, Source, Transform
from crystalfw.core.model.generator import Generator
from crystalfw.core.recipe.auto_source import source_name
from crystalfw.core.recipe.options import build
from crystalfw.core.recipe.schema import ComponentSpec, Recipe


@dataclass(frozen=True)
class Components:
    """The components of a recipe that are not trained."""

    source: Source
    prepare: tuple[Transform, ...]
    train: tuple[Transform, ...]
    finalize: tuple[Transform, ...]
    representation: Representation


def build_components(recipe: Recipe) -> Components:
    """Source, transforms by stage, and representation."""
    spec = recipe.data.source
    if spec.name == "auto":
        spec = ComponentSpec(name=source_name(recipe.data.path), options=spec.options, where=spec.where)
    transforms = [build("transform", item) for item in recipe.transforms]
    for item, transform in zip(recipe.transforms, transforms, strict=True):
        if transform.stage == "finalize":
            raise RecipeError([f"{item.where}: transforms: '{item.name}' works on generated crystals; list it under finalize:"])
    return Components(
        source=build("source", spec, path=recipe.data.path),
        prepare=tuple(t for t in transforms if t.stage == "prepare"),
        train=tuple(t for t in transforms if t.stage == "train"),
        finalize=tuple(build("transform", item) for item in recipe.finalize),
        representation=build("representation", recipe.representation),
    )


def build_generator(recipe: Recipe, representation: Representation) -> Generator:
    """The generator with freshly initialised weights; the same seed gives the same weights."""
    model = recipe.model
    # Each part draws from its own stream: swapping one leaves the others' initial weights as they were.
    torch.manual_seed(recipe.seed)
    encoder: Encoder = build("encoder", model.encoder)
    torch.manual_seed(recipe.seed + 1)
    decoder: Decoder = build("decoder", model.decoder, encoder_dim=encoder.dim, vocabulary=representation.vocabulary)
    torch.manual_seed(recipe.seed + 2)
    dimensions = {"encoder_dim": encoder.dim, "decoder_dim": decoder.dim, "n_layers": decoder.n_layers}
    conditioning: Conditioning = build("conditioning", model.conditioning, **dimensions)
    check_ports(model.conditioning, conditioning, model.decoder, decoder)
    check_atoms(model.encoder, encoder, model.decoder, decoder)
    torch.manual_seed(recipe.seed + 3)
    generator = Generator(encoder, conditioning, decoder, memory=model.memory, condition_dropout=model.condition_dropout)
    if model.freeze_encoder:
        generator.encoder.requires_grad_(False)
    return generator


def check_ports(c_spec: ComponentSpec, conditioning: Conditioning, d_spec: ComponentSpec, decoder: Decoder) -> None:
    """Raise RecipeError if the decoder does not offer the port that the conditioning needs."""
    if conditioning.port == "none" or conditioning.port in decoder.ports:
        return
    offered = " and ".join(sorted(decoder.ports - {"none"})) or "no port"
    suggestions = []
    decoders = [e.name for e in registry().entries("decoder") if conditioning.port in _ports(e, "ports")]
    if decoders:
        suggestions.append("decoder " + " or ".join(f"'{name}'" for name in decoders))
    fitting = [e.name for e in registry().entries("conditioning") if decoder.ports & _ports(e, "port")]
    if fitting:
        suggestions.append("conditioning " + " or ".join(f"'{name}'" for name in fitting))
    where = f"{d_spec.where}: " if d_spec.where else ""
    line = f" ({c_spec.where})" if c_spec.where else ""
    raise RecipeError(
        [
            f"{where}model.decoder: '{d_spec.name}' offers {offered}; '{c_spec.name}'{line} needs the port "
            f"{conditioning.port}.\n  Use {', or '.join(suggestions)}."
        ]
    )


def check_atoms(e_spec: ComponentSpec, encoder: Encoder, d_spec: ComponentSpec, decoder: Decoder) -> None:
    """Raise RecipeError if the decoder needs one token per atom and the encoder's tokens are not atoms."""
    if decoder.reads_atoms and not encoder.atom_tokens:
        where = f"{e_spec.where}: " if e_spec.where else ""
        line = f" ({d_spec.where})" if d_spec.where else ""
        raise RecipeError(
            [
                f"{where}model.encoder: the tokens of '{e_spec.name}' are not the crystal's atoms; "
                f"'{d_spec.name}'{line} needs one token per atom.\n  Use encoder 'equivariant'."
            ]
        )


def _ports(entry: Any, attribute: str) -> frozenset[str]:
    try:
        value: Any = getattr(entry.load(), attribute, frozenset())
    except PluginError:
        return frozenset()
    return frozenset({value}) if isinstance(value, str) else frozenset(value)


def property_columns(requires: Iterable[str]) -> list[str]:
    """The property columns among what an encoder requires, sorted."""
    prefix = "properties."
    return sorted(name.removeprefix(prefix) for name in requires if name.startswith(prefix))


def needed_columns(recipe: Recipe, generator: Generator) -> tuple[str, ...]:
    """Property columns that the data must hold: named in the recipe, read by the encoder or predicted by the decoder."""
    encoder = property_columns(generator.encoder.requires)
    targets = generator.decoder.targets if isinstance(generator.decoder, PropertyDecoder) else ()
    return tuple(dict.fromkeys([*recipe.data.columns, *encoder, *targets]))
