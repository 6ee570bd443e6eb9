"""The frozen list of public names (docs/project/stability.md). A name may be added here; one that goes is a breaking change."""

from __future__ import annotations

import importlib

import pytest

import crystalfw
from crystalfw.core import hookspecs
from crystalfw.core.registry import KINDS

FROZEN = {
    "crystalfw": {
        "Crystal", "CrystalfwError", "Sample", "Trained", "create", "decode", "embed", "encode", "evaluate", "load", "predict",
        "slices", "solve", "train",
    },
    "crystalfw.core": {
        "Baseline", "ConditionError", "Conditioning", "Crystal", "CrystalBatch", "CrystalfwError", "DataError",
        "DecodeError", "Decoded",
        "Decoder", "DecodingCache", "Edges", "Encoded", "Encoder", "Figure", "GrammarState", "Loss", "Memory", "Metric",
        "MetricContext", "PluginError", "Ports", "PropertyDecoder", "RecipeError", "Reject", "Rejected", "Representation",
        "Section", "SequenceDecoder", "Source", "TokenBatch", "TrainBatch", "Transform", "Vocabulary", "Wanted", "hookimpl",
    },
    "crystalfw.core.testing": {
        "BaselineTests", "ConditioningTests", "DecoderTests", "EncoderTests", "Law", "MetricTests", "Outcome",
        "PotentialTests", "RankerTests", "RepresentationTests", "RetrieverTests", "SourceTests", "TransformTests", "laws_of",
        "run_laws",
    },
    "crystalfw.core.recipe": {"expand", "load_recipe", "recipe_to_dict"},
}  # fmt: skip
HOOKS = {"crystalfw_register", "fit_start", "step_end", "validation_end", "samples_ready", "run_end"}
LAWS = {
    "encoder": {
        "dimensions", "rotation", "reflection", "translation", "wrapping", "permutation", "basis", "supercell",
        "batch_independence", "declared_inputs", "gradients", "state_dict", "determinism", "smooth_cutoff", "config", "version",
    },
    "conditioning": {
        "port", "zero_init", "influence", "mask", "batch_independence", "rows", "causality", "gradients", "state_dict",
        "config", "version",
    },
    "decoder": {
        "dimensions", "causality", "cache", "cache_rows", "cache_positions", "batch_independence", "conditioning_used",
        "blocks", "prediction", "additive_loss", "gradients", "state_dict", "determinism", "config", "version",
    },
    "transform": {
        "stage", "validity", "determinism", "no_memory", "input_untouched", "rotation", "edges", "pickling", "config",
        "version",
    },
}  # fmt: skip


@pytest.mark.parametrize("module", FROZEN)
def test_public_names_stay(module):
    loaded = importlib.import_module(module)
    missing = FROZEN[module] - set(loaded.__all__)
    assert not missing, f"{module} lost {sorted(missing)}: see docs/project/stability.md"
    for name in loaded.__all__:
        assert getattr(loaded, name) is not None


MEMBERS = {
    "Crystal": {
        "atoms", "cart_coords", "cif", "formula", "from_atoms", "from_cif", "from_file", "from_structure", "n_atoms",
        "space_group", "structure", "volume", "write",
    },
    "Trained": {"embed", "embed_both", "load", "predict", "predict_with_errors", "sample", "samples"},
}  # fmt: skip


@pytest.mark.parametrize("name", MEMBERS)
def test_members_of_public_classes_stay(name):
    assert set(dir(getattr(crystalfw, name))) >= MEMBERS[name]


def test_hooks_stay():
    assert {name for name in vars(hookspecs) if hasattr(getattr(hookspecs, name), "crystalfw_spec")} >= HOOKS


def test_names_of_laws_stay_because_expected_failures_uses_them():
    from crystalfw.core.testing import laws_of

    for kind, names in LAWS.items():
        assert {law.name for law in laws_of(kind)} >= names


def test_kinds_and_interface_version():
    assert set(KINDS) >= {
        "encoder",
        "conditioning",
        "decoder",
        "transform",
        "representation",
        "source",
        "metric",
        "retriever",
        "ranker",
        "baseline",
    }
    assert hookspecs.INTERFACE_VERSION == 1, (
        "raise it together with CHANGELOG.md, docs/project/stability.md and core/commands/scaffold"
    )
