"""How a token comes over the wire: every spelling of the header, before every server that people use.

A server may refuse a request itself, or take bytes out of it, before any app sees it. What holds all the same: the
app is not called, and nobody gets a 500.
"""

from __future__ import annotations

import pytest

from tests.adapters.harness import check_problem
from tests.adapters.outcomes import INVALID, MALFORMED, MISSING, invalid, realm
from tests.adapters.wire.client import Answer, bearer
from tests.adapters.wire.sites import Site
from tests.adapters.wire.variants import PROXY

BEARER = b"Authorization: Bearer "
REFUSED_BY_A_SERVER = (400, 431)


def check_missing(site: Site, answer: Answer, why: str = "") -> None:
    """Check outcome U of the list."""
    assert answer.status == 401, (why, answer.raw)
    check_problem(answer, 401, MISSING, challenge=realm(site.world))


def check_malformed(site: Site, answer: Answer, why: str = "") -> None:
    """Check outcome B of the list."""
    assert answer.status == 400, (why, answer.raw)
    check_problem(answer, 400, MALFORMED, challenge=f'{realm(site.world)}, error="invalid_request"')


def check_invalid(site: Site, answer: Answer, why: str = "") -> None:
    """Check outcome T of the list."""
    assert answer.status == 401, (why, answer.raw)
    check_problem(answer, 401, INVALID, challenge=invalid(site.world))


def is_ours(answer: Answer) -> bool:
    return answer.values("content-type") == ["application/problem+json"]


@pytest.mark.attack(1, 2)
def test_without_a_bearer_token_one_is_asked_for(site: Site) -> None:
    with site.unreached():
        for lines in ([], [b"Authorization: Basic eDp5"], [b"Authorization: Digest a=b, c=d"], [b"Authorization:"]):
            check_missing(site, site.hear(*lines), repr(lines))


@pytest.mark.attack(3)
def test_the_scheme_may_be_spelled_in_any_case_and_spaces_may_follow(site: Site, alice: str) -> None:
    for start in (b"Authorization: bearer ", b"authorization:BEARER   ", b"AUTHORIZATION:   bEaReR "):
        assert site.hear(start + alice.encode()).json()["user"] == site.world.object_id("alice")


MALFORMED_VALUES = {
    "4 nothing behind it": b"Bearer",
    "4 a space behind it": b"Bearer ",
    "5 two words": b"Bearer a b",
    "5 a tab": b"Bearer\ta",
    "22 JSON": b'Bearer {"a":1}',
    "22 quoted": b'Bearer "a"',
    "39 a JWS in JSON": b'Bearer {"payload":"e30","signatures":[]}',
    "40 a token within JSON": b'Bearer {"x":"%(token)s"}',
    "7 joined by a server": b"Bearer %(token)s,Bearer %(token)s",
    "7 joined with a space": b"Bearer %(token)s, Bearer %(token)s",
}


@pytest.mark.attack(4, 5, 7, 22, 39, 40)
def test_anything_but_the_scheme_and_one_token_is_malformed(site: Site, alice: str) -> None:
    with site.unreached():
        for why, value in MALFORMED_VALUES.items():
            line = b"Authorization: " + value.replace(b"%(token)s", alice.encode())
            check_malformed(site, site.hear(line), why)


@pytest.mark.attack(6, 7)
def test_of_two_headers_none_is_taken(site: Site, alice: str, bob: str) -> None:
    with site.unreached():
        for other in (bearer(alice), bearer(bob), b"Authorization: Basic eDp5", b"Authorization:", BEARER + b"x"):
            check_malformed(site, site.hear(bearer(alice), other), repr(other))
            turned = site.hear(other, bearer(alice))
            if site.kind in ("wsgi", "flask") and b"Bearer" not in other:
                # These servers join the two with a comma, and what begins so is another scheme's.
                assert turned.status in (400, 401)
            else:
                check_malformed(site, turned, repr(other))


@pytest.mark.attack(6)
def test_a_header_that_goes_on_in_the_next_line_is_one_token_or_none(site: Site, alice: str, bob: str) -> None:
    within = site.say(b"Authorization: Bearer\r\n " + alice.encode())
    assert within is not None
    if within.status == 200:  # RFC 9112 section 5.2: a server may make a space of the break
        assert within.json()["user"] == site.world.object_id("alice")
    else:
        assert within.status == 400
    with site.unreached():
        behind = site.hear(bearer(alice) + b"\r\n " + bob.encode())
        assert behind.status == 400


@pytest.mark.attack(8, 10, 11)
def test_a_token_anywhere_else_is_no_token(site: Site, alice: str) -> None:
    form = b"access_token=" + alice.encode()
    with site.unreached():
        check_missing(site, site.hear(path=b"/whoami?" + form))
        check_missing(site, site.hear(b"Cookie: " + form + b"; Authorization=Bearer " + alice.encode()))
        in_form = b"Content-Type: application/x-www-form-urlencoded"
        check_missing(site, site.hear(in_form, method="POST", body=form))


@pytest.mark.attack(9)
def test_a_token_in_the_query_changes_nothing_for_the_one_in_the_header(site: Site, alice: str, bob: str) -> None:
    answer = site.hear(bearer(alice), path=b"/whoami?access_token=" + bob.encode())
    assert answer.json()["user"] == site.world.object_id("alice")
    with site.unreached():
        check_invalid(site, site.hear(BEARER + b"opaque", path=b"/whoami?access_token=" + bob.encode()))


@pytest.mark.attack(10)
def test_the_body_of_a_request_reaches_the_app_as_it_was_sent(site: Site, alice: str) -> None:
    body = b"access_token=" + b"a" * 70_000
    answer = site.hear(bearer(alice), b"Content-Type: application/x-www-form-urlencoded", method="POST", body=body)
    assert answer.json()["body"] == body.decode()


@pytest.mark.attack(12)
def test_a_token_that_is_too_long_is_invalid_or_the_servers_to_refuse(site: Site) -> None:
    with site.unreached():
        for size in (16_384, 16_385, 70_000, 500_000):
            answer = site.say(BEARER + b"a" * size)
            if answer is not None and answer.status not in REFUSED_BY_A_SERVER:
                check_invalid(site, answer, str(size))


WILD = {
    "NUL": b"a\x00b",
    "return": b"a\rb",
    "line feed": b"a\nX-Other: b",
    "tab": b"a\tb",
    "escape": b"a\x1b[31m",
    "delete": b"a\x7f",
    "UTF-8": "\u00e9".encode(),
    "no UTF-8": b"\xff\xfe",
    "latin-1": b"caf\xe9",
    "next line": b"a\x85b",
}


@pytest.mark.attack(13)
def test_no_byte_in_the_header_is_ever_a_500(site: Site, alice: str) -> None:
    with site.unreached():
        for why, value in WILD.items():
            for token in (value, alice.encode() + value, value + alice.encode()):
                answer = site.say(BEARER + token)
                if answer is not None and is_ours(answer):
                    assert answer.status in (400, 401), (why, answer.raw)
                else:
                    assert answer is None or answer.status in REFUSED_BY_A_SERVER, (why, answer)


OTHER_NAMES = ("Authorization_", "_Authorization", "HTTP_AUTHORIZATION", "Http-Authorization", "Proxy-Authorization")
OF_PROXIES = (PROXY, "X-Forwarded-Access-Token", "X-MS-CLIENT-PRINCIPAL", "X-Forwarded-Authorization")


@pytest.mark.attack(14, 15)
def test_another_header_is_no_credential_and_changes_none(site: Site, alice: str, bob: str) -> None:
    for name in (*OTHER_NAMES, *OF_PROXIES):
        lines = [f"{name}: Bearer {bob}".encode(), f"{name}: {bob}".encode()]
        with site.unreached():
            for line in lines:
                check_missing(site, site.hear(line), name)
        for line in lines:
            assert site.hear(bearer(alice), line).json()["user"] == site.world.object_id("alice"), name


@pytest.mark.attack(14)
def test_a_space_around_the_headers_name_makes_no_credential(site: Site, alice: str) -> None:
    with site.unreached():
        for line in (b"Authorization : Bearer ", b" Authorization: Bearer ", b"\tAuthorization: Bearer "):
            answer = site.say(b"X-Before: a", line + alice.encode())
            assert answer is None or answer.status in (400, 401), (line, answer)


@pytest.mark.attack(15)
def test_a_trusted_proxys_header_is_judged_as_the_other_would_be(special: Site, alice: str, bob: str) -> None:
    proxied = f"{PROXY}: {alice}".encode()
    assert special.hear(proxied).json()["user"] == special.world.object_id("alice")
    with special.unreached():
        for lines in ([proxied, bearer(bob)], [bearer(bob), proxied], [proxied, proxied]):
            assert special.hear(*lines).status == 400
        for value in (alice[:-8] + "AAAAAAAA", "opaque"):
            answer = special.hear(f"{PROXY}: {value}".encode())
            assert (answer.status, answer.json()) == (401, INVALID)


@pytest.mark.attack(183)
def test_every_invalid_token_gets_the_same_bytes(site: Site, alice: str) -> None:
    entra = site.world.entra
    tokens = {
        "unknown kid": entra.sign_in("alice", headers={"kid": "unknown"}),
        "bad signature": alice[:-8] + "AAAAAAAA",
        "wrong audience": entra.sign_in("alice", aud="api://other"),
        "expired": entra.sign_in("alice", lifetime=-10),
        "opaque": "opaque",
    }
    with site.unreached():
        answers = {why: site.hear(bearer(token)) for why, token in tokens.items()}
    check_invalid(site, answers["bad signature"])
    assert {answer.constant for answer in answers.values()} == {answers["bad signature"].constant}
