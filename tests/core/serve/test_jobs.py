"""Names of jobs, uploads and runs never lead out of their folders; records survive a stop."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystalfw.core.errors import CrystalfwError, DataError
from crystalfw.core.serve.jobs import JobStore, NotFound, inside
from crystalfw.core.serve.work import PredictWork


@pytest.fixture
def store(settings):
    return JobStore(settings)


def test_a_job_is_what_is_on_disk(store):
    job = store.create(PredictWork(formulas=["NaCl"]))
    assert store.load(job.id) == job
    assert store.arguments(job)[:2] == ["predict", "NaCl"]
    assert [one.id for one in store.all()] == [job.id]


def test_after_a_stop(store):
    first, second = (store.create(PredictWork(formulas=[formula])) for formula in ("NaCl", "KCl"))
    store.save(replace(first, state="running"))
    assert [job.id for job in store.after_a_stop()] == [second.id]
    assert store.load(first.id).state == "interrupted"


def test_a_damaged_record_is_named(store):
    job = store.create(PredictWork(formulas=["NaCl"]))
    (store.folder(job.id) / "job.json").write_text("{")
    with pytest.raises(DataError, match="damaged"):
        store.load(job.id)
    assert list(store.all()) == []


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/../../b", "C:\\x\\y.cif", ".bashrc", "", "\0", "x" * 500])
def test_uploads_keep_to_their_folder(store, name):
    path = store.upload(store.keep(name, b"content"))
    assert path.is_relative_to((store.root / "uploads").resolve())
    assert path.read_bytes() == b"content"
    assert not path.name.startswith(".")


@given(name=st.text(max_size=40))
def test_names_never_lead_out(name, tmp_path_factory):
    root = tmp_path_factory.getbasetemp() / "root"
    root.mkdir(exist_ok=True)
    path = inside(root, name)
    assert path is None or (path != root.resolve() and path.is_relative_to(root.resolve()))


def test_links_are_followed_before_they_are_trusted(tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to("/etc")
    assert inside(tmp_path / "root", "link/passwd") is None


@pytest.mark.parametrize("id", ["..", "../jobs", "a/b", "", "x"])
def test_unknown_ids(store, id):
    with pytest.raises(NotFound):
        store.folder(id)
    with pytest.raises(NotFound):
        store.upload(id)


def test_a_model_is_a_run_below_the_folder_or_a_name(store):
    (store.settings.runs / "mine").mkdir(parents=True)
    assert store.model("mine") == str((store.settings.runs / "mine").resolve())
    assert store.model("mp-property") == "mp-property"
    with pytest.raises(CrystalfwError, match="no run"):
        store.model("../elsewhere")
