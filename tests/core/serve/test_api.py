"""The interface: typed requests, sentences for mistakes, work in processes of its own."""

from __future__ import annotations

import asyncio
import os
import time

import pytest

from crystalfw.core.errors import ConditionError
from crystalfw.core.serve import tasks
from crystalfw.core.serve.workers import Worker, sendable
from tests.core.serve.test_scene import PEROVSKITE

ENDED = ("done", "failed", "cancelled", "interrupted")


def wait(client, id: str, states=ENDED, seconds: float = 240.0) -> dict:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        job = client.get(f"/api/v1/jobs/{id}").json()
        if job["state"] in states:
            return job
        time.sleep(0.2)
    raise AssertionError(f"still {job['state']}: {client.get(f'/api/v1/jobs/{id}/log').text}")


def test_every_room_answers(client):
    for room in ("predict", "solve", "generate", "strings", "runs"):
        answer = client.get(f"/{room}")
        assert answer.status_code == 200
        assert 'aria-current="page"' in answer.text
    assert "does not have the command" in client.get("/solve").text
    assert client.get("/nowhere").status_code == 404
    assert client.get("/").headers["location"] == "/predict"


def test_the_document_describes_the_interface(client):
    document = client.get("/api/v1/openapi.json").json()
    assert {"/api/v1/jobs", "/api/v1/scene", "/api/v1/strings/encode"} <= set(document["paths"])
    assert document["components"]["schemas"]["PredictWork"]["properties"]["n"]["maximum"] == 200


@pytest.mark.parametrize(
    ("path", "body", "status", "sentence"),
    [
        ("/jobs", {"kind": "predict", "formulas": ["$"]}, 422, "'$' is not a formula such as SrTiO3"),
        ("/jobs", {"kind": "predict", "formulas": ["NaCl"], "n": 0}, 422, "n: "),
        ("/jobs", {"kind": "cook"}, 422, "cook"),
        ("/jobs", {"kind": "generate", "model": "../../etc"}, 404, "no run"),
        ("/jobs", {"kind": "solve", "pattern_upload": "x", "formula": "NaCl"}, 400, "no command 'solve'"),
        ("/scene", {"cif": "data_x"}, 400, "CIF"),
        ("/strings/decode", {"string": "Na Cl 0 1"}, 400, "cannot be read"),
        ("/jobs/x/cancel", {}, 404, "no job 'x'"),
    ],
)
def test_mistakes_are_sentences(client, path, body, status, sentence):
    answer = client.post(f"/api/v1{path}", json=body)
    assert (answer.status_code, sentence in answer.json()["error"]) == (status, True), answer.text


@pytest.mark.parametrize("path", ["/api/v1/runs/..", "/api/v1/runs/%2e%2e/%2e%2e/etc", "/api/v1/reports/..%2f..%2fetc/passwd",
                                  "/static/..%2fapp.py", "/api/v1/jobs/..%2f..%2fx/log"])  # fmt: skip
def test_paths_do_not_lead_out(client, path):
    assert client.get(path).status_code in (303, 404)


def test_crystals_and_strings(client):
    scene = client.post("/api/v1/scene", json={"cif": PEROVSKITE.cif(), "supercell": [2, 1, 1]}).json()
    assert scene["facts"]["formula"] == "SrTiO3"
    assert client.post("/api/v1/convert", json={"cif": PEROVSKITE.cif(), "form": "poscar"}).text.startswith("Sr")
    assert "<svg" in client.post("/api/v1/picture", json={"cif": PEROVSKITE.cif()}).text
    answer = client.post("/api/v1/strings/encode", json={"cif": PEROVSKITE.cif()}).json()
    assert answer["string"].startswith("O O O Ti Sr")


def test_a_killed_worker_is_replaced(client):
    served = client.app.app.state.served
    client.post("/api/v1/convert", json={"cif": PEROVSKITE.cif()})
    (process,) = served.worker._pool._processes.values()
    process.kill()
    process.join()
    assert client.post("/api/v1/convert", json={"cif": PEROVSKITE.cif()}).text.startswith("# generated")


def test_an_input_that_kills_its_process_gets_a_sentence():
    with pytest.raises(ConditionError, match="the process that read the input died"):
        asyncio.run(Worker().call(os._exit, 1))


def test_what_takes_too_long_is_ended(client):
    served = client.app.app.state.served
    served.worker.seconds = 0.0
    assert "no answer within" in client.post("/api/v1/convert", json={"cif": PEROVSKITE.cif()}).json()["error"]
    served.worker.seconds = 60.0
    assert client.post("/api/v1/convert", json={"cif": PEROVSKITE.cif()}).status_code == 200


def test_uploads_are_counted_in_the_worker(client):
    id = client.post("/api/v1/uploads/one.cif", content=PEROVSKITE.cif().encode()).json()["id"]
    assert client.get(f"/api/v1/uploads/{id}/crystals").json()["crystals"] == 1
    id = client.post("/api/v1/uploads/bad.cif", content=b"\x00\xff" * 50).json()["id"]
    answer = client.get(f"/api/v1/uploads/{id}/crystals").json()
    assert answer.get("crystals", 0) == 0
    assert client.post("/api/v1/uploads/none.cif", content=b"").status_code == 400


def test_half_a_character_in_an_upload_is_answered(client):
    content = b'{"lattice": "\\ud800", "sites": []}'
    id = client.post("/api/v1/uploads/half.json", content=content).json()["id"]
    answer = client.get(f"/api/v1/uploads/{id}/crystals")
    assert answer.status_code in (200, 400)
    assert answer.json()


def test_what_cannot_be_written_is_replaced():
    assert sendable({"a\ud800": ["\udcff", ("é", 1)]}) == {"a?": ["?", ["é", 1]]}


def test_a_command_that_fails_leaves_its_sentence(client):
    job = client.post("/api/v1/jobs", json={"kind": "train", "recipe": "smokee"}).json()
    ended = wait(client, job["id"])
    assert ended["state"] == "failed"
    assert "smoke" in ended["message"]
    assert client.post(f"/api/v1/jobs/{job['id']}/cancel").status_code == 400


def test_read_only_starts_nothing(settings):
    from dataclasses import replace

    from starlette.testclient import TestClient

    from crystalfw.core.serve.app import make_app

    app = make_app(replace(settings, read_only=True))
    with TestClient(app, base_url="http://localhost", headers={"authorization": f"Bearer {settings.token}"}) as client:
        for path in ("/jobs", "/uploads/x.cif"):
            answer = client.post(f"/api/v1{path}", json={"kind": "train", "recipe": "smoke"})
            assert "--read-only" in answer.json()["error"]
        assert client.post("/api/v1/convert", json={"cif": PEROVSKITE.cif()}).status_code == 200
    assert not (settings.work / "jobs").exists()


@pytest.mark.slow
def test_a_training_is_watched_cancelled_and_resumed(client):
    job = client.post("/api/v1/jobs", json={"kind": "train", "recipe": "smoke", "steps": 400}).json()
    wait(client, job["id"], ("running",))
    end = time.monotonic() + 200
    while time.monotonic() < end and not [run for run in client.get("/api/v1/runs").json() if run["steps"]]:
        time.sleep(0.3)
    assert client.post(f"/api/v1/jobs/{job['id']}/cancel").json()["state"] in ("running", "cancelled")
    assert wait(client, job["id"])["state"] == "cancelled"
    (name,) = [run["name"] for run in client.get("/api/v1/runs").json() if run["trained"]]
    before = client.get(f"/api/v1/runs/{name}").json()["curves"]["loss"]
    client.post(f"/api/v1/jobs/{job['id']}/resume")
    assert wait(client, job["id"])["state"] == "done", client.get(f"/api/v1/jobs/{job['id']}/log").text
    after = client.get(f"/api/v1/runs/{name}").json()
    assert after["curves"]["loss"][-1][0] > before[-1][0]
    assert client.get(f"/api/v1/reports/{name}").headers["content-security-policy"].startswith("sandbox")
    made = client.get(f"/api/v1/models/{name}").json()
    assert made["generates"] is True
    assert made["atoms"][1] <= tasks.MAX_ATOMS
