"""crystalfw.plugins: the built-in components, offered through the same door as everybody's."""

from __future__ import annotations

from typing import TYPE_CHECKING

if __name__ == "plugins":
    raise ImportError("import crystalfw.plugins, not plugins: the bare name would create a second registry")

from crystalfw.core.hookspecs import hookimpl

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from crystalfw.core.registry import Registry

_HERE = "crystalfw.plugins"
_BUILT_IN = {
    "encoder": {
        "equivariant": ("equivariant:Equivariant", "E(3)-equivariant periodic graph network: atom tokens, pooled vector"),
        "composition": ("composition:CompositionEncoder", "one token per element, weighted by its share"),
        "properties": ("properties:Properties", "named scalar columns, standardised; missing values learned"),
        "space_group": ("space_group:SpaceGroup", "the space-group number as one learned token"),
        "precomputed": ("precomputed:Precomputed", "embeddings computed elsewhere, from a column or a file beside the table"),
        "diffraction": ("diffraction:Diffraction", "the lines of a powder pattern as tokens"),
        "none": ("none:NoEncoder", "no condition: a constant learned token"),
        "templates": ("templates:TemplateStrings", "strings of known crystals retrieved for the composition, token by token"),
        "concat": ("concat:Concat", "several encoders at once: their tokens side by side"),
    },
    "conditioning": {
        "additive": ("additive:Additive", "projected pooled vector added to token and position embeddings"),
        "cross_attention": ("cross_attention:CrossAttention", "attention of the string over the memory in every block"),
        "prefix": ("prefix:Prefix", "memory tokens, projected, in front of the string"),
        "none": ("none:NoConditioning", "the decoder ignores the memory"),
    },
    "decoder": {
        "gpt": ("gpt:GPT", "plain GPT: ports input and prefix"),
        "cross_attention_gpt": ("cross_attention_gpt:CrossAttentionGPT", "the same backbone with a port in every layer"),
        "copy_gpt": ("copy_gpt:CopyGPT", "cross_attention_gpt that can also copy tokens of retrieved strings"),
        "regressor": ("regressor:Regressor", "an MLP on the pooled vector that predicts named columns"),
        "denoiser": ("denoiser:Denoiser", "restores hidden elements and distances: pre-trains an encoder without labels"),
    },
    "transform": {
        "standardize": ("standardize:Standardize", "primitive, Niggli- or Minkowski-reduced cell"),
        "normalize_positions": ("normalize_positions:NormalizePositions", "fractional coordinates wrapped into [0, 1)"),
        "random_rotation": ("random_rotation:RandomRotation", "uniform over SO(3) or O(3)"),
        "perturb": ("perturb:Perturb", "random strain and displacements"),
        "powder_lines": ("powder_lines:PowderLines", "the lines of the crystal's powder pattern, as an array"),
        "powder_measurement": ("powder_measurement:PowderMeasurement", "disturbs powder lines as a measurement does"),
        "filter": ("filter:Filter", "reject crystals outside of bounds, with the reason"),
        "finalize": ("finalize:Finalize", "physical constraints on generated crystals"),
    },
    "representation": {"slices": ("slices:Slices", "SLICES strings: labelled quotient graphs")},
    "source": {
        "prototypes": ("prototypes:Prototypes", "AFLOW prototypes decorated by ionic substitution; embedded, offline"),
        "table": ("table:Table", "CSV, CSV.gz or parquet with a cif column; CDVAE layout"),
        "files": ("files:Files", "folder or zip of CIF, POSCAR, extxyz, pymatgen JSON; ASE database"),
    },
    "metric": {
        "shares": ("shares:Shares", "chained shares with one denominator"),
        "match": ("match:Match", "match rate and RMSE against reference crystals"),
        "distributions": ("distributions:Distributions", "Wasserstein distances of density, elements, atoms"),
        "validity": ("validity:Validity", "structural and compositional validity, each alone, samples and reference"),
        "novelty": ("novelty:Novelty", "uniqueness and novelty of decoded samples at both tolerances"),
        "novelty_steps": ("novelty_steps:NoveltySteps", "new string, new by matcher, after relaxation, not an exchange"),
        "leaks": ("leaks:Leaks", "formulas, structures, polymorphs that training and reference share"),
        "diversity": ("diversity:Diversity", "Vendi scores of composition and structure, effective numbers"),
        "cost": ("cost:Cost", "CPU seconds for each new crystal, where the table has them"),
        "coverage": ("coverage:Coverage", "COV-R and COV-P by structure and composition fingerprints"),
        "diffraction": ("diffraction:DiffractionMetric", "powder patterns of samples against those of their references"),
        "symmetry": ("symmetry:Symmetry", "space groups at two precisions, crystal systems, share of P1"),
        "conditional": ("conditional:Conditional", "requested against obtained value, by a named predictor"),
        "fidelity": ("fidelity:Fidelity", "embedding of the sample against that of its source crystal"),
        "stability": ("stability:Stability", "energy above a hull after relaxation with a potential; S.U.N."),
    },
    "potential": {
        "chgnet": ("chgnet:Chgnet", "CHGNet, with the weights of its wheel; `chgnet:r2scan` for others"),
        "sevennet": ("sevennet:Sevennet", "SevenNet-0, with the weights of its wheel"),
        "ase": ("ase:Ase", "any calculator of ASE by name: `ase:EMT`, `ase:LennardJones`"),
        "ours": ("ours:Ours", "a trained regressor of ours, `ours:RUN`: energies only"),
    },
    "baseline": {
        "random": ("random:Random", "training crystals drawn at random"),
        "nearest": ("nearest:Nearest", "the training crystal of the most similar composition, elements exchanged"),
        "template": ("template:Template", "the structure type that a retriever finds, elements exchanged"),
        "exchange": ("exchange:Exchange", "ions of training crystals exchanged by pymatgen's table of probabilities"),
        "prototype": ("prototype:Prototype", "AFLOW prototypes decorated with ions: no training crystals needed"),
        "strings": ("strings:Strings", "strings drawn at random under the grammar, decoded"),
    },
    "retriever": {
        "structure_types": ("structure_types:StructureTypes", "known structure types with the elements exchanged, ranked"),
    },
    "ranker": {
        "learned": ("learned:Learned", "evidence weighed by a small network; calibrated probabilities"),
        "as_proposed": ("as_proposed:AsProposed", "the order and the probabilities of whoever proposes"),
        "powder": ("powder:Powder", "how well each explains a measured powder pattern"),
    },
}  # fmt: skip

_EXTRAS = {
    ("potential", "chgnet"): "crystalfw[relax]",
    ("potential", "sevennet"): "crystalfw[sevennet]",
    ("potential", "ase"): "crystalfw[ase]",
}
"""What to install where the import of a component fails."""


@hookimpl
def crystalfw_executor(name: str, address: str, workers: int) -> Executor | None:
    """The executor `dask`."""
    if name != "dask":
        return None
    from crystalfw.plugins.executors.dask import DaskExecutor

    return DaskExecutor(address, workers)


@hookimpl
def crystalfw_register(registry: Registry) -> None:
    """Offer every built-in; nothing is imported until a recipe asks for it."""
    for kind, components in _BUILT_IN.items():
        folder = kind if kind == "conditioning" else f"{kind}s"
        for name, (target, summary) in components.items():
            registry.add(kind, name, f"{_HERE}.{folder}.{target}", summary=summary, extra=_EXTRAS.get((kind, name), ""))
