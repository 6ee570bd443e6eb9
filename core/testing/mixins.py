"""Conformance as pytest classes: one test per law, named after it.

class TestMine(EncoderTests):
    name = "mine"                   # as registered; or: component = Mine
    options = {"dim": 32}

    def test_what_only_mine_promises(self):
        encoder = self.make()
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from crystalfw.core.testing.laws import Law, Subject, laws_of, run_law


def _every_law(kind: str) -> Any:
    laws = laws_of(kind)
    return pytest.mark.parametrize("law", laws, ids=[law.name for law in laws])


class ComponentTests:
    """What the mixins share. Set `name` (as registered) or `component` (the class); the rest has defaults."""

    kind: ClassVar[str]
    name: ClassVar[str] = ""
    component: ClassVar[type | None] = None
    options: ClassVar[Mapping[str, Any]] = {}
    expected_failures: ClassVar[Mapping[str, str]] = {}
    """Name of a law -> why this component does not meet it. A law that holds after all makes the test fail."""
    path: ClassVar[str | None] = None
    dimensions: ClassVar[Mapping[str, Any]] = {}
    """What the assembly tells the constructor, for `make`."""

    def subject(self) -> Subject:
        """What the laws are checked on."""
        component = self.component
        if component is None:
            from crystalfw.core.discovery import registry

            component = registry().get(self.kind, self.name).load()
        return Subject(self.kind, component, self.options, self.path)

    def make(self, **options: Any) -> Any:
        """An instance with the class's options, and these on top."""
        subject = self.subject()
        return Subject(self.kind, subject.component, {**self.options, **options}).make(**self.dimensions)

    def obey(self, law: Law) -> None:
        """Check one law; skip where it does not apply, xfail where an exception is declared."""
        known = {law.name for law in laws_of(self.kind)}
        assert set(self.expected_failures) <= known, f"expected_failures names no law: {set(self.expected_failures) - known}"
        outcome = run_law(law, self.subject(), self.expected_failures)
        if outcome.status == "skipped":
            pytest.skip(outcome.message)
        if outcome.status == "expected":
            pytest.xfail(outcome.message)
        assert outcome.status == "ok", outcome.message


class EncoderTests(ComponentTests):
    """The laws of encoders."""

    kind = "encoder"

    @_every_law("encoder")
    def test_law(self, law: Law) -> None:
        """One law."""
        self.obey(law)


class ConditioningTests(ComponentTests):
    """The laws of conditionings; fixtures `h_BTD` (3, 5, 32) and `memory` (3 crystals, at most 4 tokens, width 24)."""

    kind = "conditioning"
    dimensions: ClassVar[Mapping[str, Any]] = {"encoder_dim": 24, "decoder_dim": 32, "n_layers": 2}

    @_every_law("conditioning")
    def test_law(self, law: Law) -> None:
        """One law."""
        self.obey(law)

    @pytest.fixture
    def h_BTD(self) -> Any:
        """Embedded tokens in float32."""
        from crystalfw.core.testing.conditioning_laws import make_h

        return make_h().float()

    @pytest.fixture
    def memory(self) -> Any:
        """A memory in float32."""
        import torch

        from crystalfw.core.testing.conditioning_laws import make_memory

        return make_memory().to(dtype=torch.float32)


class DecoderTests(ComponentTests):
    """The laws of decoders."""

    kind = "decoder"

    @_every_law("decoder")
    def test_law(self, law: Law) -> None:
        """One law."""
        self.obey(law)


class TransformTests(ComponentTests):
    """The laws of transforms."""

    kind = "transform"

    @_every_law("transform")
    def test_law(self, law: Law) -> None:
        """One law."""
        self.obey(law)


class RepresentationTests(ComponentTests):
    """The laws of representations."""

    kind = "representation"

    @_every_law("representation")
    def test_law(self, law: Law) -> None:
        """One law."""
        self.obey(law)


class SourceTests(ComponentTests):
    """The laws of sources; set `path`, or override `subject` to make a file first."""

    kind = "source"

    @_every_law("source")
    def test_law(self, law: Law) -> None:
        """One law."""
        self.obey(law)


class MetricTests(ComponentTests):
    """The laws of metrics."""

    kind = "metric"

    @_every_law("metric")
    def test_law(self, law: Law) -> None:
        """One law."""
        self.obey(law)


class BaselineTests(ComponentTests):
    """The laws of baselines."""

    kind = "baseline"

    @_every_law("baseline")
    def test_law(self, law: Law) -> None:
        """One law."""
        self.obey(law)


class RetrieverTests(ComponentTests):
    """The laws of retrievers."""

    kind = "retriever"

    @_every_law("retriever")
    def test_law(self, law: Law) -> None:
        """One law."""
        self.obey(law)


class PotentialTests(ComponentTests):
    """The laws of potentials."""

    kind = "potential"

    @_every_law("potential")
    def test_law(self, law: Law) -> None:
        """One law."""
        self.obey(law)


class RankerTests(ComponentTests):
    """The laws of rankers."""

    kind = "ranker"

    @_every_law("ranker")
    def test_law(self, law: Law) -> None:
        """One law."""
        self.obey(law)
