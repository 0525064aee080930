"""Many requests on one connection: each has the identity that it brings itself, and nobody else's."""

from __future__ import annotations

import pytest

from tests.adapters.wire.client import Answer, bearer
from tests.adapters.wire.sites import Site
from tests.adapters.wire.test_presenting import check_missing


def said(site: Site, requests: list[bytes]) -> list[Answer]:
    """Return the answers to requests of one connection that are sent before anything is read."""
    with site.connect() as wire:
        wire.send(b"".join(requests))
        answers = (wire.answer() for _ in requests)
        return [answer for answer in answers if answer is not None]


@pytest.mark.attack(1, 173)
def test_nothing_of_a_request_is_left_for_the_next_on_its_connection(site: Site, alice: str, bob: str) -> None:
    asked = [(bearer(alice), "alice"), (b"X-Nobody: a", ""), (bearer("opaque"), ""), (bearer(bob), "bob")]
    with site.connect() as wire:
        for line, name in asked:
            wire.send(site.request(line, last=False))
            answer = wire.answer()
            if answer is None and site.server == "sync":
                break  # gunicorn's sync worker answers one request of a connection
            assert answer is not None
            if name:
                assert answer.json()["user"] == site.world.object_id(name)
            else:
                assert answer.status == 401


@pytest.mark.attack(117, 173)
def test_pipelined_requests_of_two_users_get_each_their_own_answer(site: Site, alice: str, bob: str) -> None:
    turns = [(alice, "alice"), (bob, "bob")] * 4
    requests = [site.request(bearer(token), last=False) for token, _ in turns]
    requests[-1] = site.request(bearer(bob))
    answers = said(site, requests)
    assert len(answers) == (1 if site.server == "sync" else len(turns))
    for answer, (_, name) in zip(answers, turns, strict=False):
        assert answer.json()["user"] == site.world.object_id(name)


@pytest.mark.attack(1)
def test_a_request_within_the_body_of_another_is_no_request_of_its_user(site: Site, alice: str) -> None:
    """RFC 9112 section 6.3: two lengths of a body are an attempt to smuggle a request past somebody."""
    within = site.request(path=b"/within")
    chunked = b"0\r\n\r\n" + within
    both = [b"Content-Length: %d" % len(chunked), b"Transfer-Encoding: chunked"]
    for lines in (both, both[::-1], [b"Content-Length: 0", b"Content-Length: %d" % len(chunked)]):
        answers = said(site, [site.request(bearer(alice), *lines, method="POST", last=False) + chunked, b"", b""])
        # Whatever a server takes it for: what was in the body has no token, so that it is nobody's.
        for later in answers[1:]:
            if later.status != 400:
                check_missing(site, later)


@pytest.mark.attack(6, 13)
def test_a_token_in_a_trailer_is_nobodys_but_its_own_users(site: Site, alice: str, bob: str) -> None:
    """RFC 9110 section 6.5.1: trailers are no headers; uvicorn with httptools makes them some, as the app sees it."""
    trailer = b"0\r\nAuthorization: Bearer " + alice.encode() + b"\r\n\r\n"
    chunked = (b"Transfer-Encoding: chunked", b"Trailer: Authorization")
    (answer,) = said(site, [site.request(*chunked, method="POST") + trailer])
    if answer.status == 200:
        assert (site.server, answer.json()["user"]) == ("httptools", site.world.object_id("alice"))
    else:
        assert answer.status in (400, 401)
    (answer,) = said(site, [site.request(bearer(bob), *chunked, method="POST") + trailer])
    if answer.status == 200:
        assert answer.json()["user"] == site.world.object_id("bob")
    else:
        # The server's refusal, or where it comes only when the app reads the body, the framework's.
        assert answer.status in (400, 500)
