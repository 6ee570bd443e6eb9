"""runs/NAME shows a run that can be used; a failed start leaves nothing."""

from __future__ import annotations

from dataclasses import replace

from crystalfw.core.recipe.schema import Recipe
from crystalfw.core.run.folder import discard_unbegun, link_newest, new_run_dir


def begun(recipe):
    run = new_run_dir(recipe)
    (run / "recipe.yaml").write_text("name: mine\n")
    return run


def test_the_link_moves_with_the_first_checkpoint(tmp_path):
    recipe = replace(Recipe(), name="mine", run_dir=str(tmp_path))
    link, first = tmp_path / "mine", begun(recipe)
    assert link.resolve() == first.resolve()
    (first / "checkpoints" / "last.pt").touch()
    second, third = begun(recipe), begun(recipe)
    assert link.resolve() == first.resolve()
    (third / "checkpoints" / "last.pt").touch()
    link_newest(third, "mine")
    assert link.resolve() == third.resolve()
    (second / "checkpoints" / "last.pt").touch()
    link_newest(second, "mine")
    assert link.resolve() == third.resolve()


def test_a_failed_start_is_removed_and_a_run_with_something_in_it_is_not(tmp_path):
    recipe = replace(Recipe(), name="mine", run_dir=str(tmp_path))
    assert discard_unbegun(begun(recipe), "mine")
    assert list(tmp_path.iterdir()) == []
    logged, saved = begun(recipe), begun(recipe)
    (logged / "metrics.csv").write_text("step,loss\n1,2.0\n")
    (saved / "checkpoints" / "best.pt").touch()
    assert not discard_unbegun(logged, "mine")
    assert not discard_unbegun(saved, "mine")
    assert (tmp_path / "mine").resolve() == logged.resolve()
