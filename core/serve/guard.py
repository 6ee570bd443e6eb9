"""What stands before every request: host, token, origin, size and the headers that keep a page at home.

Follows OWASP's cheat sheets on cross-site request forgery and content security policy: a token that other sites do not know,
cookies that do not travel across sites, `Origin` checked on whatever changes something.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlencode, urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crystalfw.core.serve.settings import Settings

COOKIE = "crystalfw"
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; connect-src 'self'; "
    "font-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
)
REPORT_POLICY = (
    "sandbox allow-scripts allow-downloads; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data:; frame-ancestors 'self'"
)
"""Reports bring their own script; sandboxed, it has neither the cookie nor a way to the interface."""
_SAFE = ("GET", "HEAD")


class Guard:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app, self.settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the application answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._refusal(scope, headers)
        if refusal:
            if refusal[0] == 413:
                await _discarded(receive, 8 * self.settings.max_upload)
            await _answer(send, *refusal)
        elif "token" in parse_qs(scope["query_string"].decode("latin-1")) and scope["method"] == "GET":
            await self._let_in(scope, send)
        else:
            await self.app(scope, _bounded(receive, self.settings.max_upload), _with_headers(send))

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        """Status and sentence of a request that must not come through."""
        host = headers.get("host", "")
        if _hostname(host) not in {name.strip("[]") for name in self.settings.hosts}:
            return 421, "This server answers to its own name only. Open the address that `crystalfw serve` printed."
        if not self._knows_token(scope, headers):
            return 401, "The token is missing or wrong. Open the address that `crystalfw serve` printed, with its token."
        origin = headers.get("origin")
        foreign = (origin is not None and origin.partition("://")[2] != host) or headers.get("sec-fetch-site") == "cross-site"
        if foreign and scope["method"] not in _SAFE:
            return 403, "The request comes from another site and was refused."
        size = headers.get("content-length", "0")
        if not size.isdigit() or int(size) > self.settings.max_upload:
            return 413, f"The request is larger than {self.settings.max_upload / 2**20:g} MB and was not kept."
        return None

    def _knows_token(self, scope: Scope, headers: dict[str, str]) -> bool:
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
        given += [headers.get("authorization", "").removeprefix("Bearer ").strip()]
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            cookie = None
        given += [cookie.value] if cookie else []
        return any(hmac.compare_digest(one.encode(), self.settings.token.encode()) for one in given)

    @property
    def _cookie(self) -> str:
        """Of this port: cookies know no ports, and two servers on one machine must not sign each other out."""
        return f"{COOKIE}-{self.settings.port}"

    async def _let_in(self, scope: Scope, send: Send) -> None:
        """Move the token from the address into a cookie, so that it stays out of the history."""
        query = {k: v for k, v in parse_qs(scope["query_string"].decode("latin-1")).items() if k != "token"}
        # a path that begins with two slashes would be an address on another host
        path = "/" + scope["path"].lstrip("/\\")
        target = path + (f"?{urlencode(query, doseq=True)}" if query else "")
        cookie = f"{self._cookie}={self.settings.token}; HttpOnly; SameSite=Strict; Path=/"
        await send({"type": "http.response.start", "status": 303, "headers": [
            (b"location", target.encode("latin-1", "replace")), (b"set-cookie", cookie.encode()), *_headers([]),
        ]})  # fmt: skip
        await send({"type": "http.response.body", "body": b""})


def _hostname(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:  # a broken IPv6 address
        return None


async def _answer(send: Send, status: int, sentence: str) -> None:
    body = json.dumps({"error": sentence}).encode()
    headers = [(b"content-type", b"application/json"), *_headers([])]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _discarded(receive: Receive, most: int) -> None:
    """Let a body of at most `most` bytes pass without keeping it: a sender that is cut off while it sends reads no answer."""
    seen, more = 0, True
    while more and seen <= most:
        message = await receive()
        seen += len(message.get("body", b""))
        more = bool(message.get("more_body"))


def _bounded(receive: Receive, most: int) -> Receive:
    """The request's body, cut off where it is longer than it may be: a sender need not state the length."""
    seen = 0

    async def bounded() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > most:
            return {"type": "http.disconnect"}
        return message

    return bounded


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *_headers(name for name, _ in message.get("headers", []))]
        await send(message)

    return sending


def _headers(given: Iterable[bytes]) -> list[tuple[bytes, bytes]]:
    """The protecting headers that an answer does not bring itself."""
    ours = {
        b"content-security-policy": PAGE_POLICY.encode(), b"x-content-type-options": b"nosniff",
        b"referrer-policy": b"no-referrer", b"cache-control": b"no-store", b"cross-origin-opener-policy": b"same-origin",
        b"cross-origin-resource-policy": b"same-origin",
    }  # fmt: skip
    there = set(given)
    return [(name, value) for name, value in ours.items() if name not in there]
