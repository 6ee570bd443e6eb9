"""crystalfw.core: contracts and engine. Names are loaded on first use, so that importing costs nothing."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if __name__ == "core":
    raise ImportError("import crystalfw.core, not core: the bare name would create a second registry")

if TYPE_CHECKING:
    from crystalfw.core.batch import CrystalBatch as CrystalBatch
    from crystalfw.core.batch import Edges as Edges
    from crystalfw.core.batch import Memory as Memory
    from crystalfw.core.batch import Templates as Templates
    from crystalfw.core.batch import TokenBatch as TokenBatch
    from crystalfw.core.batch import TrainBatch as TrainBatch
    from crystalfw.core.crystal import Crystal as Crystal
    from crystalfw.core.errors import ConditionError as ConditionError
    from crystalfw.core.errors import CrystalfwError as CrystalfwError
    from crystalfw.core.errors import DataError as DataError
    from crystalfw.core.errors import DecodeError as DecodeError
    from crystalfw.core.errors import PluginError as PluginError
    from crystalfw.core.errors import RecipeError as RecipeError
    from crystalfw.core.errors import Reject as Reject
    from crystalfw.core.hookspecs import hookimpl as hookimpl
    from crystalfw.core.interfaces import Baseline as Baseline
    from crystalfw.core.interfaces import Conditioning as Conditioning
    from crystalfw.core.interfaces import Decoder as Decoder
    from crystalfw.core.interfaces import DecodingCache as DecodingCache
    from crystalfw.core.interfaces import Encoder as Encoder
    from crystalfw.core.interfaces import GrammarState as GrammarState
    from crystalfw.core.interfaces import Metric as Metric
    from crystalfw.core.interfaces import MetricContext as MetricContext
    from crystalfw.core.interfaces import Ports as Ports
    from crystalfw.core.interfaces import Potential as Potential
    from crystalfw.core.interfaces import PropertyDecoder as PropertyDecoder
    from crystalfw.core.interfaces import Proposal as Proposal
    from crystalfw.core.interfaces import Question as Question
    from crystalfw.core.interfaces import Ranker as Ranker
    from crystalfw.core.interfaces import Representation as Representation
    from crystalfw.core.interfaces import Retriever as Retriever
    from crystalfw.core.interfaces import SequenceDecoder as SequenceDecoder
    from crystalfw.core.interfaces import SinglePoint as SinglePoint
    from crystalfw.core.interfaces import Source as Source
    from crystalfw.core.interfaces import Transform as Transform
    from crystalfw.core.interfaces import Verdict as Verdict
    from crystalfw.core.presentation import Figure as Figure
    from crystalfw.core.presentation import Section as Section
    from crystalfw.core.records import Decoded as Decoded
    from crystalfw.core.records import Encoded as Encoded
    from crystalfw.core.records import Loss as Loss
    from crystalfw.core.records import Rejected as Rejected
    from crystalfw.core.records import Vocabulary as Vocabulary
    from crystalfw.core.records import Wanted as Wanted

_WHERE = {
    "crystal": ["Crystal"],
    "batch": ["CrystalBatch", "Edges", "Memory", "Templates", "TokenBatch", "TrainBatch"],
    "errors": [
        "ConditionError", "CrystalfwError", "DataError", "DecodeError", "PluginError", "RecipeError", "Reject",
    ],
    "hookspecs": ["hookimpl"],
    "interfaces": [
        "Baseline", "Conditioning", "Decoded", "Decoder", "DecodingCache", "Encoded", "Encoder", "GrammarState", "Loss",
        "Metric", "MetricContext", "Ports", "Potential", "PropertyDecoder", "Proposal", "Question", "Ranker", "Rejected",
        "Representation", "Retriever", "SequenceDecoder", "SinglePoint", "Source", "Transform", "Verdict", "Vocabulary",
        "Wanted",
    ],
    "presentation": ["Figure", "Section"],
}  # fmt: skip
_MODULE_OF = {name: module for module, names in _WHERE.items() for name in names}
__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(import_module(f"crystalfw.core.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module 'crystalfw.core' has no attribute {name!r}")
