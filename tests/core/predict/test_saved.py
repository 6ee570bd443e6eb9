"""A predictor in a folder: it answers as before without fitting, elsewhere too, and damage is a sentence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from crystalfw.core.errors import DataError
from crystalfw.core.library import Library
from crystalfw.core.predict.fitted import fit_predictor
from crystalfw.core.predict.predictor import Predictor
from crystalfw.core.predict.question import question_of
from crystalfw.core.predict.saved import load, save
from crystalfw.core.recipe.options import create
from crystalfw.core.testing.retriever_laws import small_library
from tests.core.predict.small import written

NAMES = {"retriever": "structure_types", "ranker": "as_proposed"}


@pytest.fixture(scope="module")
def predictor(tmp_path_factory) -> Predictor:
    library = written(small_library(), tmp_path_factory.mktemp("library"))
    retriever = create("retriever", "structure_types", {"epochs": 2, "members": 2})
    return fit_predictor(library, retriever, create("ranker", "as_proposed"), say=lambda line: None)


@pytest.fixture
def folder(predictor, tmp_path) -> Path:
    save(predictor, tmp_path / "first", NAMES)
    shutil.move(tmp_path / "first", tmp_path / "moved")
    return tmp_path / "moved"


def test_a_moved_folder_answers_as_before(predictor, folder):
    for formula in ("NaBr", "CsI"):
        before, after = (one.answer(question_of(formula), 4) for one in (predictor, load(folder)))
        assert [(p.template, p.probability, p.why) for p in after] == [(p.template, p.probability, p.why) for p in before]


@pytest.mark.parametrize("name", ["retriever.safetensors", "library/cell.bin", "predictor.json"])
def test_damage_is_a_sentence(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[-2] ^= 64
    (folder / name).write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"damaged"):
        load(folder)


def test_a_missing_part_is_a_sentence(folder, tmp_path):
    with pytest.raises(DataError, match="no predictor there"):
        load(tmp_path / "none")
    (folder / "ranker.safetensors").unlink()
    with pytest.raises(DataError, match="missing or damaged"):
        load(folder)


def test_another_library_is_refused(folder):
    with pytest.raises(DataError, match="fitted on another library"):
        load(folder, Library.of(list(small_library())[:3]))


def test_a_newer_format_is_a_sentence(folder):
    record = json.loads((folder / "predictor.json").read_text())
    (folder / "predictor.json").write_text(json.dumps(record | {"format": 99}))
    with pytest.raises(DataError, match="format 99"):
        load(folder)
