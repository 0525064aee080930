"""The injected clients, of httpx and of httpx2, over real sockets."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from obo_middleware._context import AsyncContext
from obo_middleware.errors import RequestEndedError, WrongOriginError
from obo_middleware.testing import LocalEntra
from tests.core.faces import LIBRARIES, Face, make_face
from tests.core.hostile import Answer, Asked, Scripted
from tests.core.kit import api
from tests.core.test_auth_challenges import challenge, first
from tests.frameworks.clients_world import speaking_http2

MEGABYTE = 1 << 20
LARGE = 20 * MEGABYTE
PIECE = b"0123456789abcdef" * (MEGABYTE // 64)
"""256 KiB, of which 80 are a large body."""
DIGEST = hashlib.sha256(PIECE * 80).hexdigest()


@pytest.fixture(
    params=[(library, blocking) for library in LIBRARIES for blocking in (True, False)],
    ids=lambda one: f"{one[0].__name__} {'blocking' if one[1] else 'awaitable'}",
)
def face(request: pytest.FixtureRequest) -> Iterator[Face]:
    """Each of the four clients, of an application with one API."""
    library, blocking = request.param
    with LocalEntra() as entra, Scripted() as server:
        made = make_face(entra, server, library, blocking=blocking)
        yield made
        made.runtime.close()


def read_in_pieces(face: Face, context: AsyncContext, url: str) -> list[bytes]:
    """Stream a body down, as pieces."""
    if face.blocking:
        with context.blocking_client("api").stream("GET", url) as response:
            return list(response.iter_bytes())

    async def read() -> list[bytes]:
        async with context.client("api").stream("GET", url) as response:
            return [piece async for piece in response.aiter_bytes()]

    return face.run(read)


def in_pieces(face: Face) -> Any:
    """Return a large body that comes in pieces."""

    async def awaitable() -> AsyncIterator[bytes]:
        for _ in range(80):
            yield PIECE

    return (PIECE for _ in range(80)) if face.blocking else awaitable()


def test_a_large_body_comes_down_in_small_pieces(face: Face) -> None:
    face.server.say("/v1/large", Answer(body=PIECE * 80))
    pieces = read_in_pieces(face, face.context(), "/large")
    assert hashlib.sha256(b"".join(pieces)).hexdigest() == DIGEST
    assert max(map(len, pieces)) <= MEGABYTE


def test_after_the_request_nothing_comes_down(face: Face) -> None:
    face.server.say("/v1/large", Answer(body=PIECE))
    context = face.context()
    read_in_pieces(face, context, "/large")
    context.end()
    with pytest.raises(RequestEndedError):
        read_in_pieces(face, context, "/large")
    assert face.server.paths == ["/v1/large"]


def test_a_large_body_goes_up_in_pieces(face: Face) -> None:
    face.server.say("/v1/large", {"ok": True})
    assert face.get(url="/large", method="PUT", content=in_pieces(face)).json() == {"ok": True}
    (asked,) = face.server.asked
    assert asked.headers["transfer-encoding"] == "chunked"
    assert hashlib.sha256(asked.body).hexdigest() == DIGEST


def test_a_form_with_files_is_sent(face: Face) -> None:
    face.server.say("/v1/form", {"ok": True})
    files = {"file": ("a.csv", PIECE, "text/csv")}
    assert face.get(url="/form", method="POST", files=files, data={"kind": "report"}).status_code == 200
    (asked,) = face.server.asked
    assert asked.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert PIECE in asked.body
    assert b'name="kind"\r\n\r\nreport\r\n' in asked.body


def test_a_form_with_files_is_not_sent_again(face: Face) -> None:
    face.server.say("/v1/form", first(challenge()))
    files = {"file": ("a.csv", b"a,b", "text/csv")}
    assert face.get(url="/form", method="POST", files=files).status_code == 401
    assert face.get(url="/form", method="POST", files=files).status_code == 200
    one, two = face.tokens
    assert one != two


def read_pages(face: Face) -> list[int]:
    context, url, found = face.context(), "/pages?n=1", []
    while url:
        page = face.call(context, url).json()
        found.append(page["value"])
        url = page.get("@odata.nextLink", "")
    return found


def test_pages_are_followed_by_their_absolute_links(face: Face) -> None:
    def say(asked: Asked) -> Answer:
        number = int(asked.path.rpartition("=")[2])
        following = {"@odata.nextLink": f"{face.server.url}/v1/pages?n={number + 1}"} if number < 4 else {}
        return Answer(body=json.dumps({"value": number} | following).encode())

    face.server.say("/v1/pages", say)
    assert read_pages(face) == [1, 2, 3, 4]
    assert (len(set(face.tokens)), face.entra.exchanges) == (1, 1)


@pytest.mark.attack(161)
def test_a_link_to_another_origin_is_not_followed(face: Face) -> None:
    with Scripted() as other:
        face.server.say("/v1/pages", {"value": 1, "@odata.nextLink": f"{other.url}/v1/pages?n=2"})
        with pytest.raises(WrongOriginError):
            read_pages(face)
        assert other.connections == 0


def test_what_goes_wrong_on_the_way_is_the_librarys_own_error(face: Face) -> None:
    done = threading.Event()

    def say(_asked: Asked) -> Answer:
        done.wait(20)
        return Answer()

    face.server.say("/v1/slow", say)
    try:
        with pytest.raises(face.library.ReadTimeout):
            face.get(url="/slow", timeout=0.05)
    finally:
        done.set()


def test_an_api_that_is_not_there_is_the_librarys_own_error(face: Face) -> None:
    gone = Scripted()
    gone._server.server_close()
    apis = {"api": api(gone.url + "/v1")}
    other = make_face(face.entra, gone, face.library, blocking=face.blocking, downstream_apis=apis)
    with pytest.raises(face.library.ConnectError):
        other.get()
    other.runtime.close()


@pytest.mark.parametrize(("offered", "spoken"), [(True, "HTTP/2"), (False, "HTTP/1.1")])
def test_http2_is_spoken_where_it_is_offered(face: Face, tmp_path: Path, offered: bool, spoken: str) -> None:
    with speaking_http2(tmp_path) as (url, trusting):
        given = {"downstream_apis": {"api": api(url)}, "http2": offered, "ssl_context": trusting}
        made = make_face(face.entra, face.server, face.library, blocking=face.blocking, **given)
        response = made.get()
        assert (response.http_version, response.text) == (spoken, spoken.removeprefix("HTTP/"))
        made.runtime.close()
