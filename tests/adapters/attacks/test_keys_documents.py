"""What a provider may publish as its metadata and its keys, and what requests meet then, in each adapter."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import pytest

from obo_middleware import _metadata
from obo_middleware._metadata import COOL_DOWN, KEYS_LIVE, LONG_COOL_DOWN, MAX_DOCUMENT
from obo_middleware.testing import foreign_key
from tests.adapters import actions
from tests.adapters.apps import asgi_app, fastapi_app
from tests.adapters.attacks.conftest import Recorder
from tests.adapters.attacks.nothing import sizes
from tests.adapters.harness import Served, check_problem, serve
from tests.adapters.outcomes import DOWN, INVALID, OURS, UNUSABLE, invalid
from tests.adapters.servers import UvicornServer
from tests.adapters.world import Clock, World
from tests.core.hostile import Answer, Scripted
from tests.core.kit import signer

KEYS = "/keys"
LIFE = 10 * 86_400

T = TypeVar("T")


class Publisher:
    """A provider that publishes what a test says; ``time`` is the clock of its tokens and of the app."""

    def __init__(self, server: Scripted, world: World) -> None:
        self.server, self.world = server, world
        self.time = Clock(world.clock())
        self.tenant = world.entra.tenant_id
        self.discovery = f"/{self.tenant}/v2.0/.well-known/openid-configuration"
        self.issuer = f"{server.url}/{self.tenant}/v2.0"
        self.right: dict[str, Any] = {"issuer": self.issuer, "jwks_uri": server.url + KEYS}
        self.key = signer(world.entra).jwk
        self.be_right()

    def be_right(self) -> None:
        self.server.say(self.discovery, self.right)
        self.server.say(KEYS, {"keys": [self.key]})

    @property
    def settings(self) -> Any:
        return self.world.settings(authority=self.server.url, token_versions=["2.0"], clock=self.time)

    def token(self, **headers: Any) -> str:
        return self.world.token("alice", iss=self.issuer, lifetime=LIFE, headers=headers)


@pytest.fixture
def publisher(world: World) -> Iterator[Publisher]:
    with Scripted() as server:
        yield Publisher(server, world)


def check_down(served: Served, token: str, why: str) -> None:
    """Check that a request is answered with 503, and that nobody is let in or remembered."""
    check_problem(served.get("/whoami", token), 503, DOWN, retry_after="5")
    assert (actions.reached.count, sizes(served)) == (0, (0, 0, 0)), why


def bad(url: str) -> dict[str, Answer]:
    """Return documents that are none, by the number of their case; ``url`` is where redirects lead to."""
    return {
        "109 HTML": Answer(body=b"<html>sorry</html>", headers=[("Content-Type", "text/html")]),
        "109 empty": Answer(body=b""),
        "109 over 64 KiB": Answer(body=b'{"keys":[],"x":"' + b"x" * MAX_DOCUMENT + b'"}'),
        "109 ten thousand keys": Answer(body=b'{"keys":[' + b",".join([b'{"kid":"k"}'] * 10_000) + b"]}"),
        "109 packed": Answer(body=b"\x1f\x8b\x08\x00" + b"x" * 50, headers=[("Content-Encoding", "gzip")]),
        "109 no text": Answer(body=b'\xff\xfe{"keys":[]}'),
        "110 302": Answer(302, b"{}", [("Location", url)]),
        "110 307": Answer(307, b"{}", [("Location", url)]),
        "110 301 with a body": Answer(301, b'{"keys":[]}', [("Location", url)]),
    }


def cases(*numbers: int) -> pytest.MarkDecorator:
    """Run a test once for each of these cases."""
    rows = [pytest.param(f"{number} ", id=f"case {number}", marks=pytest.mark.attack(number)) for number in numbers]
    return pytest.mark.parametrize("case", rows)


def of_case(table: Mapping[str, T], case: str) -> dict[str, T]:
    """Return the rows whose names begin with a case's number."""
    rows = {name: row for name, row in table.items() if name.startswith(case)}
    assert rows
    return rows


@cases(109, 110)
def test_without_keys_a_bad_document_is_an_outage_until_it_is_mended(
    kind: str, publisher: Publisher, evil: Recorder, case: str
) -> None:
    token = publisher.token()
    publisher.server.say(publisher.discovery, Answer(503))
    with serve(kind, publisher.settings) as served:
        for name, document in of_case(bad(f"{evil.url}/keys"), case).items():
            for path in (publisher.discovery, KEYS):
                publisher.be_right()
                publisher.server.say(path, document)
                publisher.time.advance(10)
                check_down(served, token, name)
        publisher.be_right()
        publisher.time.advance(10)
        assert served.get("/whoami", token).status_code == 200
    assert evil.connections == 0


@cases(109, 110)
def test_with_keys_a_bad_document_changes_nothing(kind: str, publisher: Publisher, evil: Recorder, case: str) -> None:
    token, unknown = publisher.token(), publisher.token(kid="unknown")
    with serve(kind, publisher.settings) as served:
        assert served.get("/whoami", token).status_code == 200
        publisher.time.advance(KEYS_LIVE)
        for name, document in of_case(bad(f"{evil.url}/keys"), case).items():
            for path in (publisher.discovery, KEYS):
                publisher.be_right()
                publisher.server.say(path, document)
                publisher.time.advance(LONG_COOL_DOWN)
                publisher.server.asked.clear()
                check_problem(served.get("/whoami", unknown), 401, INVALID, challenge=invalid(publisher.world))
                assert path in publisher.server.paths
                assert served.get("/whoami", token).status_code == 200, f"{name}: not with the last good key"
    assert evil.connections == 0


@pytest.mark.attack(109)
@pytest.mark.parametrize("known", [True, False], ids=["with keys", "without keys"])
def test_a_document_that_comes_byte_by_byte_is_not_waited_for(
    kind: str, publisher: Publisher, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_metadata, "_TIMEOUT", 0.2)
    dripping, token = Answer(body=b'{"keys":[]}' + b" " * 5_000, drip=0.02), publisher.token()
    if not known:
        publisher.server.say(KEYS, dripping)
    with serve(kind, publisher.settings) as served:
        if known:
            assert served.get("/whoami", token).status_code == 200
            publisher.server.say(KEYS, dripping)
            unknown = served.get("/whoami", publisher.token(kid="unknown"))
            check_problem(unknown, 401, INVALID, challenge=invalid(publisher.world))
            assert served.get("/whoami", token).status_code == 200
        else:
            check_down(served, token, "byte by byte")


# Whose metadata it is


def wrong(publisher: Publisher, evil: Recorder) -> dict[str, dict[str, Any]]:
    """Return what is wrong in metadata, by the number of its case."""
    server, tenant = publisher.server.url, publisher.tenant
    other = "11111111-2222-4333-8444-555555555555"
    host = server.removeprefix("http://")
    return {
        "111 file": {"jwks_uri": "file:///etc/passwd"},
        "111 data": {"jwks_uri": 'data:application/json,{"keys":[]}'},
        "111 ftp": {"jwks_uri": f"ftp://{host}/keys"},
        "111 https for http": {"jwks_uri": f"https://{host}/keys"},
        "112 another issuer": {"issuer": f"{evil.url}/{tenant}/v2.0"},
        "112 another tenant": {"issuer": f"{server}/{other}/v2.0"},
        "112 the template, for one tenant": {"issuer": f"{server}/{{tenantid}}/v2.0"},
        "112 longer": {"issuer": f"{server}/{tenant}/v2.0/x"},
        "112 no issuer": {"issuer": None},
        "113 keys on another host": {"jwks_uri": f"{evil.url}/keys"},
        "113 keys behind an @": {"jwks_uri": f"http://{host}@{evil.url.removeprefix('http://')}/keys"},
        "113 keys on a longer host": {"jwks_uri": f"http://{host}.evil.example/keys"},
        "113 no host": {"jwks_uri": "/keys"},
    }


@cases(111, 112, 113)
@pytest.mark.parametrize("make", [pytest.param(asgi_app, id="asgi"), pytest.param(fastapi_app, id="fastapi")])
def test_an_app_whose_provider_publishes_wrong_metadata_does_not_start(
    make: Any, publisher: Publisher, evil: Recorder, case: str
) -> None:
    for name, change in of_case(wrong(publisher, evil), case).items():
        publisher.server.say(publisher.discovery, publisher.right | change)
        server = UvicornServer(make(publisher.settings))
        started = server.started
        server.stop()
        assert not started, name
    assert set(publisher.server.paths) == {publisher.discovery}, "no key was asked for"
    assert evil.connections == 0


@cases(111, 112, 113)
def test_with_wrong_metadata_nobody_gets_in_and_the_log_says_what_to_mend(
    kind: str, publisher: Publisher, evil: Recorder, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    publisher.server.say(publisher.discovery, Answer(503))
    with serve(kind, publisher.settings) as served, caplog.at_level(logging.ERROR, "obo_middleware"):
        for name, change in of_case(wrong(publisher, evil), case).items():
            publisher.server.say(publisher.discovery, publisher.right | change)
            publisher.time.advance(10)
            caplog.clear()
            check_problem(served.get("/whoami", publisher.token()), 500, OURS)
            assert (actions.reached.count, sizes(served)) == (0, (0, 0, 0)), name
            said = [text for text in caplog.messages if text.startswith("ConfigurationError: the authority's")]
            assert said, name
            assert all(": check " in text for text in said)
    assert set(publisher.server.paths) == {publisher.discovery}, "no key was asked for"
    assert evil.connections == 0


@pytest.mark.attack(112, 113)
def test_metadata_that_turns_wrong_later_changes_nothing(kind: str, publisher: Publisher, evil: Recorder) -> None:
    token = publisher.token()
    with serve(kind, publisher.settings) as served:
        assert served.get("/whoami", token).status_code == 200
        for change in wrong(publisher, evil).values():
            publisher.server.say(publisher.discovery, publisher.right | change)
            publisher.time.advance(COOL_DOWN + LONG_COOL_DOWN)
            unknown = served.get("/whoami", publisher.token(kid="unknown"))
            check_problem(unknown, 401, INVALID, challenge=invalid(publisher.world))
            assert served.get("/whoami", token).status_code == 200
    assert evil.connections == 0


@pytest.mark.attack(113)
def test_a_token_endpoint_that_the_metadata_names_is_not_used(kind: str, publisher: Publisher, evil: Recorder) -> None:
    publisher.server.say(publisher.discovery, publisher.right | {"token_endpoint": f"{evil.url}/token"})
    with serve(kind, publisher.settings) as served:
        check_problem(served.get("/me", publisher.token()), 502, UNUSABLE)
    assert f"/{publisher.tenant}/oauth2/v2.0/token" in publisher.server.paths
    assert evil.connections == 0


MALFORMED: tuple[Any, ...] = (
    *(None, 5, [], "no key", {}, {"kty": "RSA"}, {"kty": "RSA", "kid": "x", "n": "!", "e": "AQAB"}),
    *({"kty": "RSA", "kid": 5}, {"kty": "EC", "kid": "x", "crv": "P-0"}, {"kty": "oct", "kid": "x", "k": "AAAA"}),
)


@pytest.mark.attack(115)
@pytest.mark.parametrize("first", [True, False], ids=["first", "last"])
def test_a_malformed_key_costs_nobody_the_others(kind: str, publisher: Publisher, first: bool) -> None:
    same_kid = {"kty": "RSA", "kid": publisher.key["kid"], "use": "sig", "n": "AQAB", "e": "AQAB"}
    broken, good = [*MALFORMED, same_kid], [publisher.key, foreign_key().jwk]
    publisher.server.say(KEYS, {"keys": [*broken, *good] if first else [*good, *broken]})
    with serve(kind, publisher.settings) as served:
        assert served.get("/whoami", publisher.token()).status_code == 200
        check_problem(served.get("/whoami", publisher.token(kid="x")), 401, INVALID, challenge=invalid(publisher.world))
        assert actions.reached.count == 1
