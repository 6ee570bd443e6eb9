"""Conformance: the laws of each kind of component, as pytest mixins and behind `crystalfw check`.

    from crystalfw.core.testing import EncoderTests

    class TestSchNet(EncoderTests):
        name = "schnet"
        options = {"dim": 32}
        expected_failures = {"reflection": "it reads dihedral angles with their sign"}

The mixins need pytest; `run_laws` does not.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crystalfw.core.testing.laws import Law as Law
    from crystalfw.core.testing.laws import Outcome as Outcome
    from crystalfw.core.testing.laws import laws_of as laws_of
    from crystalfw.core.testing.laws import run_laws as run_laws
    from crystalfw.core.testing.mixins import BaselineTests as BaselineTests
    from crystalfw.core.testing.mixins import ConditioningTests as ConditioningTests
    from crystalfw.core.testing.mixins import DecoderTests as DecoderTests
    from crystalfw.core.testing.mixins import EncoderTests as EncoderTests
    from crystalfw.core.testing.mixins import MetricTests as MetricTests
    from crystalfw.core.testing.mixins import PotentialTests as PotentialTests
    from crystalfw.core.testing.mixins import RankerTests as RankerTests
    from crystalfw.core.testing.mixins import RepresentationTests as RepresentationTests
    from crystalfw.core.testing.mixins import RetrieverTests as RetrieverTests
    from crystalfw.core.testing.mixins import SourceTests as SourceTests
    from crystalfw.core.testing.mixins import TransformTests as TransformTests

_MIXINS = [
    "BaselineTests", "ConditioningTests", "DecoderTests", "EncoderTests", "MetricTests", "PotentialTests", "RankerTests",
    "RepresentationTests", "RetrieverTests", "SourceTests", "TransformTests",
]  # fmt: skip
_WHERE = dict.fromkeys(_MIXINS, "mixins") | dict.fromkeys(("Law", "Outcome", "laws_of", "run_laws"), "laws")
__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(f"crystalfw.core.testing.{_WHERE[name]}"), name)
    raise AttributeError(f"module 'crystalfw.core.testing' has no attribute {name!r}")
