"""Metadata and keys of another issuer than Entra, from a real server, by hand and by both drivers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from credentials.kernel import HttpResponse
from obo_middleware import ConfigurationError, TrustedIssuer
from obo_middleware._metadata import FAILURE_KEPT, KEYS_LIVE, LONG_COOL_DOWN, MAX_DOCUMENT
from obo_middleware._runtime import Runtime
from obo_middleware.errors import UpstreamUnavailableError
from obo_middleware.testing import LocalEntra
from tests.core.foreign_issuer import AUDIENCE, KEYS, OAUTH, OIDC, ForeignIssuer, key_pair, outcome
from tests.core.hostile import Answer, Scripted
from tests.core.kit import Clock, Run, bearer, fetch, play, settings, settings_for

DAY: dict[str, Any] = {"exp": 9_999_999_999}


@pytest.fixture
def issuer(clock: Clock) -> Iterator[ForeignIssuer]:
    with ForeignIssuer(clock=clock) as running:
        yield running


def app(entra: LocalEntra, *issuers: TrustedIssuer, clock: Clock | None = None) -> Runtime:
    return Runtime(settings_for(entra, issuers=issuers, clock=clock or entra.clock))


@pytest.fixture
def runtime(provider: LocalEntra, issuer: ForeignIssuer, clock: Clock) -> Runtime:
    return app(provider, issuer.trusted(), clock=clock)


# Where the keys are


def test_metadata_and_keys_are_fetched_once(issuer: ForeignIssuer, runtime: Runtime, run: Run) -> None:
    for user in ("alice", "bob"):
        assert outcome(runtime, issuer.token(sub=user), run) == "OK"
    assert issuer.paths == [OIDC, KEYS]


def test_where_the_settings_name_the_keys_no_metadata_is_asked_for(
    provider: LocalEntra, issuer: ForeignIssuer, run: Run
) -> None:
    runtime = app(provider, issuer.trusted(jwks_uri=issuer.server.url + KEYS))
    assert outcome(runtime, issuer.token(), run) == "OK"
    assert issuer.paths == [KEYS]


@pytest.mark.parametrize("path", ["", "/", "/realms/main"])
def test_metadata_is_found_in_the_place_of_oauth_too(provider: LocalEntra, run: Run, path: str) -> None:
    base = path.rstrip("/")
    with ForeignIssuer(path=path, clock=provider.clock) as issuer:
        issuer.fail(base + OIDC, answer=Answer(404))
        issuer.server.say(OAUTH + base, issuer.metadata())
        assert outcome(app(provider, issuer.trusted()), issuer.token(), run) == "OK"
        assert issuer.paths == [base + OIDC, OAUTH + base, KEYS]


@pytest.mark.parametrize("status", [301, 400, 401, 403, 410, 500, 503])
def test_only_where_there_is_none_is_another_place_asked(
    provider: LocalEntra, issuer: ForeignIssuer, run: Run, status: int
) -> None:
    issuer.server.say(OAUTH, issuer.metadata())
    issuer.fail(OIDC, answer=Answer(status))
    assert outcome(app(provider, issuer.trusted()), issuer.token(), run) == "X"
    assert issuer.paths == [OIDC]


def test_without_any_metadata_the_issuer_is_not_available(
    provider: LocalEntra, issuer: ForeignIssuer, run: Run
) -> None:
    issuer.fail(OIDC, answer=Answer(404))
    assert outcome(app(provider, issuer.trusted()), issuer.token(), run) == "X"
    assert issuer.paths == [OIDC, OAUTH]


def test_keys_may_be_on_a_host_that_the_settings_name(
    provider: LocalEntra, issuer: ForeignIssuer, server: Scripted, run: Run
) -> None:
    server.say("/v3", {"keys": [issuer.key.jwk]})
    issuer.server.say(OIDC, issuer.metadata(jwks_uri=f"{server.url}/v3"))
    trusted = issuer.trusted(key_hosts=[server.url.removeprefix("http://")])
    assert outcome(app(provider, trusted), issuer.token(), run) == "OK"
    assert server.paths == ["/v3"]


MISLEADING: list[Any] = [
    *(
        pytest.param({"issuer": url}, marks=pytest.mark.attack(112))
        for url in ("https://evil.example", "http://localhost:1", None)
    ),
    pytest.param({"jwks_uri": "https://evil.example/keys"}, marks=pytest.mark.attack(113)),
    *(
        pytest.param({"jwks_uri": url}, marks=pytest.mark.attack(111))
        for url in ("file:///etc/passwd", "http://evil.example/keys", "data:,{}", "ftp://127.0.0.1/keys")
    ),
    {"jwks_uri": None},
]


@pytest.mark.parametrize("change", MISLEADING)
def test_an_app_does_not_start_with_metadata_that_is_not_its_issuers(
    provider: LocalEntra, issuer: ForeignIssuer, run: Run, change: dict[str, Any]
) -> None:
    issuer.server.say(OIDC, issuer.metadata(**change))
    runtime = app(provider, issuer.trusted())
    with pytest.raises(ConfigurationError, match=issuer.url):
        run(runtime.warm_up_flow())
    assert outcome(runtime, issuer.token(), run) == "E"
    assert issuer.paths == [OIDC]


# Bad days

BAD: dict[str, Any] = {
    "html": pytest.param(Answer(body=b"<html>sorry</html>"), marks=pytest.mark.attack(109)),
    "empty": pytest.param(Answer(body=b""), marks=pytest.mark.attack(109)),
    "too large": pytest.param(Answer(body=b'{"a":"' + b"x" * MAX_DOCUMENT + b'"}'), marks=pytest.mark.attack(109)),
    "302": pytest.param(Answer(302, b"{}", [("Location", "/elsewhere")]), marks=pytest.mark.attack(110)),
    "no keys": Answer(body=b'{"keys":[]}'),
    "500": Answer(500),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_bad_key_set_is_an_outage_and_changes_nothing(
    provider: LocalEntra, issuer: ForeignIssuer, runtime: Runtime, run: Run, *, clock: Clock, bad: Answer
) -> None:
    good = issuer.server._answers[KEYS]
    issuer.fail(KEYS, answer=bad)
    assert outcome(runtime, issuer.token(), run) == "X"
    issuer.server.say(KEYS, good)
    clock.now += FAILURE_KEPT
    assert outcome(runtime, issuer.token(), run) == "OK"
    issuer.fail(KEYS, answer=bad)
    assert outcome(runtime, issuer.token(headers={"kid": "unknown"}), run) == "T"
    clock.now += KEYS_LIVE + 1
    assert outcome(runtime, issuer.token(), run) == "OK"
    assert "/elsewhere" not in issuer.paths


@pytest.mark.attack(108)
def test_an_issuer_that_is_gone_is_an_outage_of_its_own_users_only(
    provider: LocalEntra, clock: Clock, run: Run
) -> None:
    with ForeignIssuer(clock=clock) as gone:
        trusted, token = gone.trusted(), gone.token()
    runtime = app(provider, trusted, clock=clock)
    run(runtime.warm_up_flow())
    assert outcome(runtime, token, run) == "X"
    assert outcome(runtime, provider.sign_in("alice"), run) == "OK"


@pytest.mark.attack(107)
def test_an_outage_of_entra_is_none_of_another_issuer(
    entra: LocalEntra, issuer: ForeignIssuer, clock: Clock, run: Run
) -> None:
    runtime = app(entra, issuer.trusted())
    entra.outage(endpoints=("metadata", "jwks"))
    run(runtime.warm_up_flow())
    issuer.fail()
    assert outcome(runtime, issuer.token(), run) == "OK"


@pytest.mark.attack(105, 106)
def test_rollover_and_withdrawal(issuer: ForeignIssuer, runtime: Runtime, clock: Clock, run: Run) -> None:
    old = issuer.token(**DAY)
    assert outcome(runtime, old, run) == "OK"
    issuer.rotate()
    new = issuer.token(**DAY)
    assert outcome(runtime, new, run) == "OK"
    assert issuer.paths.count(KEYS) == 2
    clock.now += LONG_COOL_DOWN
    assert outcome(runtime, old, run) == "T"
    assert outcome(runtime, new, run) == "OK"


@pytest.mark.attack(106)
def test_a_withdrawn_key_is_refused_no_later_than_the_keys_lifetime(
    issuer: ForeignIssuer, runtime: Runtime, clock: Clock, run: Run
) -> None:
    old = issuer.token(**DAY)
    assert outcome(runtime, old, run) == "OK"
    issuer.rotate()
    clock.now += KEYS_LIVE + 1
    assert outcome(runtime, old, run) == "T"


@pytest.mark.attack(102, 103)
def test_a_flood_of_unknown_keys_costs_one_fetch_in_each_cool_down(
    issuer: ForeignIssuer, runtime: Runtime, clock: Clock
) -> None:
    good = issuer.token()
    assert outcome(runtime, good) == "OK"
    for seconds, fetches in ((0, 2), (LONG_COOL_DOWN - 1, 2), (1, 3)):
        clock.now += seconds
        for number in range(50):
            assert outcome(runtime, issuer.token(headers={"kid": f"random-{number}"})) == "T"
            assert runtime.known(bearer(good), "/me") is not None
        assert issuer.paths.count(KEYS) == fetches


@pytest.mark.attack(115)
def test_one_bad_key_costs_nobody_the_others(issuer: ForeignIssuer, runtime: Runtime, run: Run) -> None:
    bad: list[dict[str, Any]] = [
        {"kty": "EC", "kid": "x", "crv": "P-256", "x": "!", "y": "!"},
        {"kty": "OKP", "kid": issuer.key.kid, "crv": "Ed25519", "x": "AA"},
        {"kty": "oct", "kid": issuer.key.kid, "k": "AAAA"},
    ]
    issuer.publish(*bad, issuer.key, *bad)
    assert outcome(runtime, issuer.token(), run) == "OK"


# What is asked for


@pytest.mark.parametrize("guarded", [True, False])
@pytest.mark.parametrize("given", [{}, {"jwks_uri": "https://idp.example/keys"}], ids=["discovered", "given"])
def test_every_fetch_is_held_to_public_addresses_where_the_settings_say_so(
    guarded: bool, given: dict[str, Any]
) -> None:
    trusted = TrustedIssuer("https://idp.example", audiences=[AUDIENCE], algorithms=["ES256"], **given)
    runtime = Runtime(settings(issuers=[trusted], refuse_private_addresses=guarded, token_versions=["2.0"]))

    def answer(effect: Any) -> HttpResponse:
        url = effect.request.url
        host = url.split("/", 3)[2]
        document: dict[str, Any] = {"keys": [key_pair("ES256").jwk, key_pair("RS256").jwk]}
        if "well-known" in url:
            document = {"issuer": url.partition("/.well")[0], "jwks_uri": f"https://{host}/keys"}
        return HttpResponse(status=200, headers={}, body=json.dumps(document).encode())

    played = play(runtime.warm_up_flow(), answer)
    assert played.error is None
    assert len(played.effects) == (3 if given else 4)
    assert {effect.request.public_only for effect in played.effects} == {guarded}


def test_no_fetch_says_who_is_asking(issuer: ForeignIssuer, runtime: Runtime, run: Run) -> None:
    assert outcome(runtime, issuer.token(), run) == "OK"
    for asked in issuer.server.asked:
        assert (asked.method, asked.body) == ("GET", b"")
        assert not {"authorization", "cookie"} & asked.headers.keys()


def test_the_app_starts_while_an_issuer_is_down(
    provider: LocalEntra, issuer: ForeignIssuer, runtime: Runtime, clock: Clock
) -> None:
    issuer.fail(OIDC)
    assert play(runtime.warm_up_flow(), fetch).error is None
    error = play(runtime.admit_flow(bearer(issuer.token()), "/me"), fetch).error
    assert isinstance(error, UpstreamUnavailableError)
    issuer.server.say(OIDC, issuer.metadata())
    clock.now += FAILURE_KEPT
    assert outcome(runtime, issuer.token()) == "OK"
