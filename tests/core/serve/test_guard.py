"""Nobody without the token, from another site or under another name gets through, and answers keep a page at home."""

from __future__ import annotations

import pytest


def test_token_in_the_address_becomes_a_cookie(client):
    client.headers.pop("authorization")
    assert client.get("/predict").status_code == 401
    answer = client.get("/predict?token=for-this-test&n=3")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/predict?n=3"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert client.get("/predict").status_code == 200


def test_wrong_token(client):
    client.headers["authorization"] = "Bearer for-this-tesu"
    assert client.get("/api/v1/status").status_code == 401


def test_the_redirect_stays_here(client):
    answer = client.get("http://127.0.0.1:8765//example.org/x?token=for-this-test")
    assert answer.headers["location"] == "/example.org/x"


@pytest.mark.parametrize("host", ["example.org", "127.0.0.1.example.org:8765", "", "[", "localhost@example.org"])
def test_another_name_is_refused(client, host):
    assert client.get("/predict", headers={"host": host}).status_code in (400, 421)


@pytest.mark.parametrize("headers", [{"origin": "http://example.org"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}])
def test_other_sites_change_nothing(client, headers):
    answer = client.post("/api/v1/preview", headers=headers, json={"kind": "predict", "formulas": ["NaCl"]})
    assert answer.status_code == 403
    assert client.post("/api/v1/preview", json={"kind": "predict", "formulas": ["NaCl"]}).status_code == 200


def test_own_origin_is_let_through(client):
    headers = {"origin": "http://127.0.0.1:8765", "sec-fetch-site": "same-origin"}
    assert client.post("/api/v1/preview", headers=headers, json={"kind": "predict", "formulas": ["NaCl"]}).status_code == 200


def test_large_bodies_are_not_read(client):
    assert client.post("/api/v1/uploads/a.cif", content=b"x" * 100_001).status_code == 413

    def endless():
        for _ in range(200):
            yield b"x" * 1000

    # without a stated length the body is cut off while it is read
    assert client.post("/api/v1/uploads/a.cif", content=endless()).status_code == 413
    assert not list(client.app.settings.work.glob("uploads/*"))


def test_policy(client):
    headers = client.get("/predict").headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


def test_files_of_the_page_are_kept_and_asked_for_again_only_if_they_changed(client):
    first = client.get("/static/page.css")
    assert first.headers["cache-control"] == "private, no-cache"
    assert client.get("/static/page.css", headers={"if-none-match": first.headers["etag"]}).status_code == 304
    assert client.get("/predict").headers["cache-control"] == "no-store", "what shows one's own work is not kept"
