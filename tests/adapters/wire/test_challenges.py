"""Whatever a text holds, an answer stays one head of clean lines, behind every server."""

from __future__ import annotations

import re

import pytest

from tests.adapters.wire.apps import ERRORS, FAIL, TEXTS
from tests.adapters.wire.client import Answer, bearer
from tests.adapters.wire.sites import Site

# RFC 6750 section 3: what the values of a challenge are made of.
CHALLENGE = re.compile(
    r'Bearer [a-z_]+="[\x20-\x21\x23-\x5b\x5d-\x7e]*"(?:, [a-z_]+="[\x20-\x21\x23-\x5b\x5d-\x7e]*")*'
)
LINE = re.compile(rb"[A-Za-z-]+: ?[\x20-\x7e]*")


def check_head(answer: Answer) -> None:
    lines = answer.raw.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    assert [line for line in lines if not LINE.fullmatch(line)] == []
    assert "x-injected" not in answer.headers
    challenges = answer.values("www-authenticate")
    assert len(challenges) <= 1
    assert all(CHALLENGE.fullmatch(challenge) for challenge in challenges)


@pytest.mark.attack(180, 181, 182, 188)
@pytest.mark.parametrize("kind", ERRORS)
def test_no_text_leaves_its_place_in_the_head(site: Site, kind: str) -> None:
    token = site.world.token("alice", xms_cc=["cp1"])
    status = {"acr": 401, "claims": 401}.get(kind, 403)
    for name in TEXTS:
        answer = site.hear(bearer(token), path=f"{FAIL}{kind}/{name}".encode())
        assert answer.status == status, name
        check_head(answer)
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.attack(188)
def test_refusals_are_not_stored_and_answers_to_head_are_heads(site: Site) -> None:
    for token in (None, "opaque", "a b"):
        lines = [] if token is None else [bearer(token)]
        answer, head = site.hear(*lines), site.hear(*lines, method="HEAD")
        for one in (answer, head):
            check_head(one)
            assert one.headers["cache-control"] == "no-store"
        assert (head.status, head.body) == (answer.status, b"")
        assert head.values("www-authenticate") == answer.values("www-authenticate")
