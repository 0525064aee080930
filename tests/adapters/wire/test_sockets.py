"""WebSocket handshakes as bytes (RFC 6455 section 4), with every server of ASGI, and the end of a user's token."""

from __future__ import annotations

import base64
import json
import logging
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.adapters.outcomes import INVALID, MALFORMED, MISSING
from tests.adapters.wire.client import Answer, Wire, bearer
from tests.adapters.wire.sites import ASGI, WSGI, Farm, Site
from tests.adapters.wire.test_presenting import check_missing

KEY = base64.b64encode(bytes(16))
UPGRADE = (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: " + KEY)
TEXT, CLOSE = 1, 8
POLICY = 1008
"""RFC 6455 section 7.4.1: a message violates the policy; here, that only the holder of a good token is served."""


@contextmanager
def handshake(site: Site, *lines: bytes, path: bytes = b"/socket") -> Iterator[tuple[Wire, Answer]]:
    with site.connect() as wire:
        wire.send(site.request(*UPGRADE, *lines, path=path, last=False))
        answer = wire.answer()
        assert answer is not None
        yield wire, answer


def frame(wire: Wire) -> tuple[int, bytes]:
    """Read one short frame of a server (RFC 6455 section 5.2): its opcode and what it carries."""
    first, length = wire.read(2)
    if length == 126:
        (length,) = struct.unpack(">H", wire.read(2))
    return first & 0x0F, wire.read(length)


def check_refused(answer: Answer, status: int, body: dict[str, object]) -> None:
    """Check a refusal: the whole answer where the server knows the denial response, else a bare 403."""
    assert answer.status in (status, 403), answer.raw
    if answer.status != 403:
        assert answer.json() == body


@pytest.mark.attack(18)
def test_a_handshake_without_a_good_token_is_refused_before_it_is_accepted(asgi_site: Site, alice: str) -> None:
    forged = alice[:-8] + "AAAAAAAA"
    refused: list[tuple[list[bytes], int, dict[str, object]]] = [
        ([], 401, MISSING),
        ([b"Authorization: Basic eDp5"], 401, MISSING),
        ([bearer(alice), bearer(alice)], 400, MALFORMED),
        ([bearer(forged)], 401, INVALID),
        ([bearer("opaque")], 401, INVALID),
    ]
    with asgi_site.unreached():
        for lines, status, body in refused:
            with handshake(asgi_site, *lines) as (_, answer):
                check_refused(answer, status, body)


@pytest.mark.attack(18)
def test_a_handshake_with_a_good_token_is_its_users(asgi_site: Site, alice: str) -> None:
    with handshake(asgi_site, bearer(alice)) as (wire, answer):
        assert answer.status == 101
        opcode, text = frame(wire)
    assert (opcode, json.loads(text)["user"]) == (TEXT, asgi_site.world.object_id("alice"))


@pytest.mark.attack(8, 11, 19)
def test_a_token_anywhere_else_in_a_handshake_is_no_token(
    asgi_site: Site, alice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # uvicorn logs the query of a handshake, which is between the client and the server.
    monkeypatch.setattr(logging.getLogger("uvicorn.error"), "disabled", True)
    token = alice.encode()
    places: list[tuple[bytes, list[bytes]]] = [
        (b"/socket", [b"Sec-WebSocket-Protocol: bearer, " + token]),
        (b"/socket", [b"Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io." + token]),
        (b"/socket", [b"Cookie: access_token=" + token]),
        (b"/socket?access_token=" + token, []),
    ]
    with asgi_site.unreached():
        for path, lines in places:
            with handshake(asgi_site, *lines, path=path) as (_, answer):
                check_refused(answer, 401, MISSING)


@pytest.mark.attack(17, 18)
@pytest.mark.parametrize("name", ASGI)
def test_a_public_method_opens_no_handshake(farm: Farm, name: str) -> None:
    special = farm.site(name, "special")
    with special.connect() as wire:
        wire.send(special.request(*UPGRADE, path=b"/socket", method="OPTIONS"))
        answer = wire.answer(to="OPTIONS")
    # RFC 6455 section 4.1: a handshake is a GET. This is a preflight with odd headers, or nothing at all.
    assert answer is None or answer.status != 101
    if answer is not None and answer.status == 200:
        assert answer.json()["user"] is None


@pytest.mark.attack(18)
@pytest.mark.parametrize("name", WSGI)
def test_a_handshake_is_a_request_like_any_other_where_there_are_no_websockets(farm: Farm, name: str) -> None:
    site = farm.site(name, "plain")
    with site.unreached(), handshake(site) as (_, answer):
        check_missing(site, answer)


@pytest.mark.attack(20)
@pytest.mark.parametrize("name", ["h11-asgi", "httptools-fastapi", "hypercorn-asgi", "granian-fastapi"])
def test_a_websocket_is_closed_when_its_users_token_expires(farm: Farm, name: str) -> None:
    special = farm.site(name, "special")
    token = special.world.token("alice", lifetime=2)
    with handshake(special, bearer(token)) as (wire, answer):
        assert answer.status == 101
        assert frame(wire)[0] == TEXT
        opcode, said = frame(wire)
        assert (opcode, struct.unpack(">H", said[:2])) == (CLOSE, (POLICY,))
