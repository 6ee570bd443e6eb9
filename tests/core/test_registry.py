"""The registry: names, origins, conflicts, and messages that say what to do."""

from __future__ import annotations

import pytest

from crystalfw.core.errors import PluginError
from crystalfw.core.interfaces import Component
from crystalfw.core.recipe.options import create
from crystalfw.core.registry import Origin, Registry


class Thing(Component):
    def __init__(self, config, *, width=0):
        self.config, self.width = config, width


@pytest.fixture
def registry() -> Registry:
    made = Registry()
    made.registering(Origin("alpha", "1.0"))
    made.add("encoder", "thing", Thing, summary="a thing")
    made.add("encoder", "other", "no_such_module:Other", extra="alpha[other]")
    return made


def test_entries_come_in_the_order_of_kinds_and_names(registry):
    registry.add("source", "a", Thing)
    registry.add("conditioning", "z", Thing)
    names = [(entry.kind, entry.name) for entry in registry.entries()]
    assert names == [("encoder", "other"), ("encoder", "thing"), ("conditioning", "z"), ("source", "a")]
    assert [entry.name for entry in registry.entries("source")] == ["a"]


def test_create_passes_dimensions(registry):
    assert create("encoder", "thing", among=registry, width=3).width == 3


def test_unknown_names_suggest_the_nearest_and_list_the_others_with_their_origin(registry):
    registry.registering(Origin("beta", "2.0"))
    registry.add("encoder", "far", Thing)
    registry.fail(Origin("gamma", "3.0"), "ImportError: no thing")
    with pytest.raises(PluginError) as caught:
        registry.get("encoder", "thign")
    assert str(caught.value) == (
        "no encoder called 'thign'. Did you mean 'thing' (alpha 1.0)? Others: far (beta 2.0); other (alpha 1.0). "
        "Not loaded: gamma 3.0 (ImportError: no thing)."
    )


def test_a_duplicate_name_is_an_error_until_the_recipe_decides(registry):
    registry.registering(Origin("beta", "2.0"))
    registry.add("encoder", "thing", Thing)
    with pytest.raises(PluginError, match=r"offered by alpha 1.0 and beta 2.0. Decide in the recipe with override: alpha"):
        registry.get("encoder", "thing")
    assert registry.get("encoder", "thing", override="beta").origin == Origin("beta", "2.0")
    with pytest.raises(PluginError, match="no encoder called 'thing' from delta"):
        registry.get("encoder", "thing", override="delta")


def test_a_component_that_cannot_be_imported_names_distribution_cause_and_remedy(registry):
    with pytest.raises(PluginError) as caught:
        registry.get("encoder", "other").load()
    message = str(caught.value)
    assert "encoder 'other' of alpha 1.0 cannot be loaded from no_such_module:Other" in message
    assert "ModuleNotFoundError: No module named 'no_such_module'" in message
    assert "pip install 'alpha[other]'" in message


def test_what_is_registered_must_be_a_class_of_a_known_kind(registry):
    with pytest.raises(PluginError, match="kinds are encoder, conditioning"):
        registry.add("encodr", "x", Thing)
    registry.add("encoder", "function", "os.path:join")
    with pytest.raises(PluginError, match="is not a class"):
        registry.get("encoder", "function").load()
