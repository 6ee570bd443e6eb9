"""Answers on disk: kept, checked, and never wrong after damage."""

from __future__ import annotations

import random
import sqlite3

import pytest

from crystalfw.core.errors import CrystalfwError
from crystalfw.core.evaluate.answer_store import AnswerStore

KNOWN = {f"question {k}": [k, None, f"text {k}" * (k % 50)] for k in range(300)}


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "answers"
    answers = AnswerStore(path)
    answers.put(KNOWN.items())
    answers.close()
    return path


def read(path):
    answers = AnswerStore(path)
    found = answers.find([*KNOWN, "never asked"])
    answers.close()
    return found


def test_answers_are_found_again(written):
    assert read(written) == KNOWN


def test_without_a_path_nothing_is_left(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answers = AnswerStore()
    answers.put(KNOWN.items())
    assert answers.find(KNOWN) == KNOWN
    answers.close()
    assert not list(tmp_path.iterdir())


def test_a_later_answer_replaces_an_earlier_one(written):
    answers = AnswerStore(written)
    answers.put([("question 0", "new")])
    assert answers.find(["question 0"]) == {"question 0": "new"}
    answers.close()


@pytest.mark.parametrize("damage", ["flipped", "cut"])
def test_damaged_files_give_right_answers_or_none(damage, written, capsys):
    whole, rng, lost = written.read_bytes(), random.Random(0), 0
    kept = 0
    for _ in range(200):
        place = rng.randrange(len(whole))
        flipped = bytes([whole[place] ^ 1 << rng.randrange(8)])
        written.write_bytes(whole[:place] + (flipped + whole[place + 1 :] if damage == "flipped" else b""))
        found = read(written)
        assert all(KNOWN[question] == answer for question, answer in found.items())
        lost += found != KNOWN
        answers = AnswerStore(written)
        answers.put(KNOWN.items())
        again = answers.find(KNOWN)
        assert all(KNOWN[question] == answer for question, answer in again.items())
        kept += again == KNOWN
        answers.close()
    assert lost > 10
    assert kept > 190  # a flip that only shows when the answers are looked up costs them once more
    assert "computed again" in capsys.readouterr().err


def test_another_process_in_the_folder_is_named(written, monkeypatch):
    monkeypatch.setattr("crystalfw.core.evaluate.answer_store._PATIENCE", 0.1)
    other = sqlite3.connect(written)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(CrystalfwError, match="another process works in this folder"):
        AnswerStore(written)
    other.close()


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "answers").mkdir()
    with pytest.raises(CrystalfwError, match="answers: cannot be written or read"):
        AnswerStore(tmp_path / "answers")
