"""The recipe: what is read, what is refused and in which words, and that the expanded text reproduces it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from crystalfw.core.errors import PluginError, RecipeError
from crystalfw.core.recipe import expand, load_recipe, recipe_to_dict
from crystalfw.core.recipe.auto_source import source_name
from crystalfw.core.recipe.document import MAX_NODES, Dumper, Mistakes, parse
from crystalfw.core.recipe.options import make_config
from crystalfw.core.recipe.schema import Recipe
from crystalfw.core.registry import Registry

REGISTRY = Registry()


@pytest.fixture(autouse=True, scope="module")
def _small_components(small_registry):
    """The stand-in components of conftest.py, under the name that the helpers below use."""
    global REGISTRY
    REGISTRY = small_registry


def load(folder: Path, text: str, *overrides: str, name: str = "mine.yaml") -> Recipe:
    (folder / name).write_text(text, encoding="utf-8")
    return load_recipe(folder / name, overrides, registry=REGISTRY)


def mistakes(folder: Path, text: str, *overrides: str) -> list[str]:
    """The mistakes, with the folder cut off and on one line each: 'mine.yaml:3: ...'."""
    with pytest.raises(RecipeError) as caught:
        load(folder, text, *overrides)
    assert str(caught.value).endswith("nothing was run.")
    return [mistake.replace(f"{folder}/", "").replace("\n  ", " ") for mistake in caught.value.mistakes]


def test_three_mistakes_are_reported_at_once_with_their_lines(tmp_path):
    text = """\
model:
  conditioning:
    name: cross_atention
fit:
  step: 10
  lr: fast
"""
    first, second, third = mistakes(tmp_path, text)
    assert first.startswith("mine.yaml:3: model.conditioning.name: no conditioning called 'cross_atention'. Did you mean")
    assert "'cross_attention' (crystalfw 0.1.0)?" in first
    assert "film (crystalfw-film 0.2.0)" in first
    assert second == "mine.yaml:5: fit: no option called 'step'. Did you mean 'steps'?"
    assert third == "mine.yaml:6: fit.lr: expected a number of at least 0, got 'fast'"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seed: [1", "not valid YAML"),
        ("seed: 1\n\tname: x", "mine.yaml:2: not valid YAML"),
        ("a: 1\n---\nb: 2", "not valid YAML: expected a single document"),
        ("seed: 1\nseed: 2", "mine.yaml:2: the key 'seed' is already on line 1"),
        ("seed: !!python/object/apply:os.getcwd []", "plain data only"),
        ("- 1\n- 2", "a recipe is a mapping of keys to values; this is a list"),
        ("", "the recipe is empty"),
        ("# only a comment\n", "the recipe is empty"),
        ("fit:\n  <<: {steps: 3}", "mine.yaml:2: merge keys (<<) are not read"),
        ("? [a, b]\n: 1", "a key must be plain text"),
        ("fit: &a\n  steps: *a", "an alias that contains itself"),
        ("seed: *missing", "not valid YAML: found undefined alias"),
        ("extends: nowhere.yaml", "mine.yaml:1: extends: no file 'nowhere.yaml'"),
        ("extends: mine.yaml", "leads back to this recipe"),
        ("extends: [a, b]", "expected the path or the name of one recipe"),
        ("extends: smokee", "extends: no file 'smokee' beside this recipe and no installed recipe. Did you mean 'smoke'?"),
        (f"extends: {'x' * 300}", "is not a file name"),
        ("name: a/b", "becomes a folder"),
        ("name: 2024", "name: expected text, got 2024 (quote it if it is text)"),
        ("seed: true", "seed: expected an integer of at least 0, got true"),
        ("lr: 1e-3", "recipe: no option called 'lr'. Did you mean 'fit.lr'?"),
        ("fit: {devices: 2}", "fit: no option called 'devices'. Did you mean 'fabric.devices'?"),
        ("model: graph", "model: expected a mapping of options, got 'graph'"),
        ("model:\n  encoder: [graph]", "expected the name of an encoder, or a mapping"),
        ("model:\n  encoder:\n    name: 3", "expected the name of an encoder"),
        ("model:\n  memory: all", "model.memory: expected one of 'tokens', 'pooled', got 'all'"),
        ("model:\n  encoder: {name: graph, cutoff: -1}", "model.encoder: cutoff must be positive, got -1.0"),
        ("model:\n  encoder: {name: graph, lmax: 7}", "lmax: expected an integer from 0 to 4, got 7"),
        ("model:\n  encoder: {name: graph, shape: [1, 2]}", "shape: expected a list of 3"),
        ("model:\n  encoder: {name: several}", "model.encoder: 'encoders' is missing; give a list"),
        ("model:\n  encoder:\n    name: several\n    encoders:\n    - graph\n    - {name: graph, lmx: 1}", "mine.yaml:6:"),
        ("model:\n  encoder: {name: graph, override: other}", "no encoder called 'graph' from other"),
        ("transforms: standardize", "transforms: expected a list"),
        ("fit: {betas: [0.9]}", "fit.betas: expected a list of 2"),
        ("fit: {patience: 1.5}", "fit.patience: expected an integer of at least 1 or null, got 1.5"),
    ],
)
def test_each_mistake_has_its_sentence(tmp_path, text, expected):
    found = mistakes(tmp_path, text)
    assert len(found) == 1
    assert expected in found[0]
    assert found[0].startswith("mine.yaml")


def test_unreadable_files(tmp_path):
    (tmp_path / "latin.yaml").write_bytes(b"name: a\nrun_dir: \xe9")
    with pytest.raises(RecipeError, match=r"latin.yaml:2: a recipe is UTF-8 text; byte 0xe9 is not"):
        load_recipe(tmp_path / "latin.yaml", registry=REGISTRY)
    with pytest.raises(RecipeError, match="no such recipe"):
        load_recipe(tmp_path / "absent.yaml", registry=REGISTRY)
    with pytest.raises(RecipeError, match=r"is a folder without recipe\.yaml"):
        load_recipe(tmp_path, registry=REGISTRY)


def test_alias_explosion_and_deep_nesting_are_bounded(tmp_path):
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    assert any(f"more than {MAX_NODES:,} values" in mistake for mistake in mistakes(tmp_path, "\n".join(lines)))
    assert any("nested too deeply" in mistake for mistake in mistakes(tmp_path, "a: " + "[" * 20_000))


def test_yaml_scalars_follow_version_1_2(tmp_path):
    text = "fit: {lr: 1e-3, steps: 2e3}\nsample: {constraints: {elements: [No, Y, on]}}\ndata: {path: 12:30:45}"
    recipe = load(tmp_path, text)
    assert (recipe.fit.lr, recipe.fit.steps, recipe.data.path) == (1e-3, 2000, "12:30:45")
    assert recipe.sample.constraints == {"elements": ["No", "Y", "on"]}


def test_types_are_coerced_only_where_nothing_is_lost(tmp_path):
    text = "model:\n  encoder: {name: graph, cutoff: 4, lmax: 1.0, columns: [a, b], names: [x], top: 3, limits: {a: 1}}"
    options = load(tmp_path, text).model.encoder.options
    assert options["cutoff"] == 4.0
    assert isinstance(options["cutoff"], float)
    assert (options["lmax"], options["columns"], options["names"]) == (1, ("a", "b"), frozenset({"x"}))
    assert (options["top"], options["limits"], options["mode"]) == (3, {"a": 1.0}, "mean")


def test_overrides(tmp_path):
    text = "model:\n  encoder: {name: graph, lmax: 1}\ntransforms: [standardize, finalize]"
    recipe = load(tmp_path, text, "model.encoder.cutoff=3", "fit.steps=5", "transforms.1=normalize_positions", "name=x")
    assert (recipe.model.encoder.options["lmax"], recipe.model.encoder.options["cutoff"]) == (1, 3.0)
    assert (recipe.fit.steps, recipe.name) == (5, "x")
    assert [spec.name for spec in recipe.transforms] == ["standardize", "normalize_positions"]
    assert load(tmp_path, text, "model.encoder=none").model.encoder.options == {}
    shorthand = load(tmp_path, "model: {encoder: graph}", "model.encoder.lmax=0", "data.path=")
    assert (shorthand.model.encoder.options["lmax"], shorthand.data.path) == (0, None)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("fit.step=3", "override fit.step=3: fit: no option called 'step'. Did you mean 'steps'?"),
        ("fit.steps=x", "override fit.steps=x: expected an integer of at least 1, got 'x'"),
        ("fit.steps", "override fit.steps: an override has the form a.b=c"),
        ("fit..steps=1", "an override has the form a.b=c"),
        ("transforms.4=x", "'4' is not an item of the list; it has items 0 to 0"),
        ("seed.x=1", "there is nothing below the value 1"),
        ("seed=[1", "not valid YAML"),
        ("seed={a: !!python/name:os.x 1}", "plain data only"),
    ],
)
def test_wrong_overrides_name_themselves(tmp_path, override, expected):
    (found,) = mistakes(tmp_path, "seed: 1\ntransforms: [standardize]", override)
    assert expected in found
    assert found.startswith("override ")


def test_extends_merges_sections_and_keeps_options_of_the_same_component_only(tmp_path):
    (tmp_path / "base.yaml").write_text("name: base\nmodel:\n  encoder: {name: graph, lmax: 1}\nfit: {steps: 7, lr: 0.1}")
    same = load(tmp_path, "extends: base.yaml\nmodel:\n  encoder: {cutoff: 3}\nfit: {steps: 8}")
    assert (same.name, same.fit.steps, same.fit.lr) == ("base", 8, 0.1)
    assert (same.model.encoder.options["lmax"], same.model.encoder.options["cutoff"]) == (1, 3.0)
    assert load(tmp_path, "extends: base.yaml\nname: x\nmodel:\n  encoder: {name: none}").model.encoder.name == "none"
    (tmp_path / "base.yaml").write_text("fit:\n  stepz: 1")
    assert mistakes(tmp_path, "extends: base.yaml") == ["base.yaml:2: fit: no option called 'stepz'. Did you mean 'steps'?"]


@pytest.mark.parametrize("base", ["smoke", "smoke.yaml"])
def test_extends_finds_an_installed_recipe_from_any_folder(tmp_path, monkeypatch, base):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(f"extends: {base}\nfit: {{steps: 7}}")
    recipe = load_recipe("mine.yaml")
    assert (recipe.name, recipe.fit.steps, recipe.fit.batch_size) == ("mine", 7, load_recipe("smoke").fit.batch_size)
    # a file of the same name builds on the installed one, and is then the nearer one for its neighbours
    (tmp_path / "smoke.yaml").write_text(f"extends: {base}\nseed: 5")
    assert load_recipe("mine.yaml").seed == 5


def test_the_run_is_named_after_the_file_and_places_are_kept(tmp_path):
    recipe = load(tmp_path, "seed: 2\nmodel:\n  encoder:\n    name: graph", name="my run.yaml")
    assert recipe.name == "my_run"
    assert recipe.model.encoder.where == f"{tmp_path}/my run.yaml:4"


def test_auto_source_is_written_out(tmp_path):
    (tmp_path / "cdvae").mkdir()
    (tmp_path / "cdvae" / "train.csv.gz").touch()
    assert source_name(None) == "prototypes"
    assert source_name("x.parquet") == source_name(str(tmp_path / "cdvae")) == "table"
    assert source_name(str(tmp_path)) == "files"
    assert load(tmp_path, "data: {path: a.csv}").data.source.name == "table"
    assert load(tmp_path, "seed: 1").data.source.name == "prototypes"
    assert load(tmp_path, "data: {source: files}").data.source.name == "files"


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=8) | st.sampled_from(
    ["1e-3", "No", "null", "~", "0x1", "true", "<<", "=", "12:30", ".inf", "1_000", "- a", "a: b", "# c", "0o7"]
)


@settings(max_examples=25, deadline=None)
@given(
    lmax=st.integers(0, 4),
    cutoff=st.floats(1e-8, 1e8),
    columns=st.lists(TEXTS),
    limits=st.dictionaries(TEXTS, st.floats(allow_nan=False)),
    lr=st.floats(0, 1),
    path=TEXTS,
)
def test_expanded_text_gives_an_equal_recipe(tmp_path_factory, lmax, cutoff, columns, limits, lr, path):
    folder = tmp_path_factory.mktemp("expand")
    graph = {"name": "graph", "lmax": lmax, "cutoff": cutoff, "columns": columns, "limits": limits}
    text = yaml.safe_dump({"fit": {"lr": lr}}) + "model:\n  encoder: {name: several, encoders: [graph, graph]}\n"
    recipe = load(folder, text, f"data.path={yaml.safe_dump(path, default_style=chr(34))}")
    (folder / "graph.yaml").write_text(expand_of(graph), encoding="utf-8")
    for again in (recipe, load_recipe(folder / "graph.yaml", registry=REGISTRY)):
        expanded = expand(again)
        (folder / "again.yaml").write_text(expanded, encoding="utf-8")
        assert load_recipe(folder / "again.yaml", registry=REGISTRY) == again
        assert expand(load_recipe(folder / "again.yaml", registry=REGISTRY)) == expanded


def expand_of(encoder: dict) -> str:
    """A recipe with this encoder."""
    return yaml.dump({"model": {"encoder": encoder}}, Dumper=Dumper, allow_unicode=True)


def test_expanded_recipe_holds_every_key_and_plain_yaml_reads_it(tmp_path):
    recipe = load(tmp_path, "model: {encoder: graph}\nsample: {constraints: {composition: {No: 1}}}")
    text = expand(recipe)
    assert yaml.safe_load(text) == recipe_to_dict(recipe)
    assert yaml.safe_load(text)["model"]["encoder"]["inner"] == {"width": 8}
    assert set(yaml.safe_load(text)) == set(Recipe.__dataclass_fields__)


@given(st.text(max_size=60))
def test_any_text_parses_or_is_a_listed_mistake(text):
    try:
        node = parse(text, "x.yaml")
    except Mistakes as error:
        assert str(error.found[0][0]).startswith("x.yaml")  # noqa: PT017 - either outcome is right
    else:
        assert node.where.file == "x.yaml"


def test_options_from_python_are_checked_like_a_recipe():
    graph = REGISTRY.get("encoder", "graph").load()
    assert make_config(graph, {"shape": [4, 5, 6], "cutoff": math.pi}, "encoder 'graph'").shape == (4, 5, 6)
    with pytest.raises(PluginError) as caught:
        make_config(graph, {"lmx": 1, "cutoff": "far"}, "encoder 'graph'")
    assert str(caught.value).splitlines() == [
        "encoder 'graph': no option called 'lmx'. Did you mean 'lmax'?",
        "encoder 'graph'.cutoff: expected a number, got 'far'",
    ]
