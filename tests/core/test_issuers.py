from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from obo_middleware._runtime import Runtime
from obo_middleware._token import parse_token
from obo_middleware._trusted_issuer import ALGORITHMS
from obo_middleware.errors import InvalidTokenError
from obo_middleware.testing import LocalEntra
from tests.core.foreign_issuer import AUDIENCE, OIDC, ForeignIssuer, ForeignKey, key_pair, outcome
from tests.core.forged_foreign import ALL, CLAIMS, SIGNATURE, STRUCTURE, Forge, with_claims, with_header
from tests.core.forgery import params
from tests.core.kit import Clock, Run, bearer, decode, encode, fetch, no_answer, play, settings_for


@pytest.fixture(scope="module", params=["ES256", "EdDSA"])
def issuer(request: pytest.FixtureRequest, shared_clock: Clock) -> Iterator[ForeignIssuer]:
    """Run an issuer that no test changes."""
    with ForeignIssuer(request.param, clock=shared_clock) as running:
        yield running


@pytest.fixture
def runtime(provider: LocalEntra, issuer: ForeignIssuer) -> Runtime:
    return Runtime(settings_for(provider, issuers=[issuer.trusted()]))


@pytest.fixture
def warm(runtime: Runtime) -> Runtime:
    """Make an application that knows everybody's keys."""
    assert play(runtime.warm_up_flow(), fetch).error is None
    return runtime


def test_a_good_token_is_accepted_in_every_colour(issuer: ForeignIssuer, runtime: Runtime, run: Run) -> None:
    token = issuer.token()
    valid = run(runtime.admit_flow(bearer(token), "/me"))
    assert (valid.user.object_id, valid.user.issuer) == ("alice", issuer.url)
    assert token not in repr(valid)
    assert play(runtime.admit_flow(bearer(token), "/me"), no_answer).value() is valid
    assert runtime.known(bearer(token), "/me") is valid


def test_entras_users_go_on(provider: LocalEntra, runtime: Runtime, run: Run) -> None:
    assert outcome(runtime, provider.sign_in("alice"), run) == "OK"


@pytest.mark.parametrize("forge", params(ALL))
def test_a_forged_token_is_refused(issuer: ForeignIssuer, runtime: Runtime, forge: Forge) -> None:
    assert outcome(runtime, forge(issuer)) == "T"


@pytest.mark.parametrize("forge", [SIGNATURE["51 another key under our kid"], CLAIMS["60 aud 'https://other.example'"]])
def test_a_forged_token_is_refused_in_every_colour(
    issuer: ForeignIssuer, runtime: Runtime, run: Run, forge: Forge
) -> None:
    assert outcome(runtime, forge(issuer), run) == "T"


@pytest.mark.attack(30, 31, 74)
@pytest.mark.parametrize("forge", STRUCTURE.values(), ids=STRUCTURE)
def test_structure_and_issuer_are_refused_before_anything_is_asked_for(
    issuer: ForeignIssuer, runtime: Runtime, forge: Forge
) -> None:
    played = play(runtime.admit_flow(bearer(forge(issuer)), "/me"), no_answer)
    assert isinstance(played.error, InvalidTokenError)
    assert played.effects == []


@pytest.mark.attack(74)
@pytest.mark.parametrize(
    "host", ["https://evil.example", "https://127.0.0.1", "http://127.0.0.1.evil.example", "https:{a}", "x", ""]
)
def test_an_unknown_issuer_does_not_even_make_us_ask_entra(provider: LocalEntra, runtime: Runtime, host: str) -> None:
    for version in (1, 2):
        home = host.format(a=provider.authority.removeprefix("http:"))
        token = provider.sign_in("alice", version=version, iss=f"{home}/{provider.tenant_id}/v2.0")
        played = play(runtime.admit_flow(bearer(token), "/me"), no_answer)
        assert isinstance(played.error, InvalidTokenError)
        assert played.effects == []


@pytest.mark.parametrize("count", [1, 2, 4, 5])
def test_a_token_has_three_segments(count: int) -> None:
    with pytest.raises(InvalidTokenError, match="three segments"):
        parse_token(".".join([encode(b"{}")] * count))


@pytest.mark.parametrize("forge", CLAIMS.values(), ids=CLAIMS)
def test_claims_are_refused_without_a_look_for_their_key(
    issuer: ForeignIssuer, warm: Runtime, forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("obo_middleware._validation.check_signature", no_answer)
    played = play(warm.admit_flow(bearer(forge(issuer)), "/me"), no_answer)
    assert isinstance(played.error, InvalidTokenError)


@pytest.mark.attack(183)
def test_the_client_learns_nothing_of_the_reason(issuer: ForeignIssuer, warm: Runtime) -> None:
    for name, forge in ALL.items():
        error = play(warm.admit_flow(bearer(forge(issuer)), "/me"), fetch).error
        assert isinstance(error, InvalidTokenError), name
        assert warm.reply(error, None) == warm.reply(InvalidTokenError("any other"), None)
        assert str(error).isprintable()


@pytest.mark.parametrize(
    "forge",
    [
        *(
            pytest.param(with_header(typ=typ), marks=pytest.mark.attack(58))
            for typ in (None, "JWT", "at+jwt", "application/at+jwt")
        ),
        pytest.param(with_claims(aud=["https://other.example", AUDIENCE]), marks=pytest.mark.attack(64)),
        with_claims(aud=[AUDIENCE]),
        with_claims(nonce="x", at_hash="x"),  # an access token by its typ
        with_claims(nbf=None, iat=None),
        with_claims(scope=None, client_id=None, name=None),
        with_claims(typ="Bearer"),  # as Keycloak says
        with_claims(token_use="access"),  # as Cognito says
        with_claims(ver="2.0", tid="x", oid=5, azp=["x"], gty=5),  # Entra's, and others' that nobody reads here
        with_claims(ver=5),
    ],
)
def test_a_token_that_only_looks_unusual_is_accepted(issuer: ForeignIssuer, warm: Runtime, forge: Forge) -> None:
    assert outcome(warm, forge(issuer)) == "OK"


@pytest.mark.attack(64)
@pytest.mark.parametrize("aud", [[AUDIENCE], ["https://other.example", AUDIENCE]])
def test_a_strict_issuer_has_one_audience(provider: LocalEntra, issuer: ForeignIssuer, aud: list[str]) -> None:
    runtime = Runtime(settings_for(provider, issuers=[issuer.trusted(strict_audience=True)]))
    assert outcome(runtime, issuer.token(aud=aud)) == "T"
    assert outcome(runtime, issuer.token()) == "OK"


def test_no_byte_of_a_token_can_be_changed(issuer: ForeignIssuer, warm: Runtime) -> None:
    segments = [decode(segment) for segment in issuer.token().split(".")]
    for number, data in enumerate(segments):
        for at, mask in ((at, mask) for at in range(len(data)) for mask in (1, 128)):
            broken = data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]
            token = ".".join(encode(broken if each == number else one) for each, one in enumerate(segments))
            played = play(warm.admit_flow(bearer(token), "/me"), fetch)
            assert isinstance(played.error, InvalidTokenError), (number, at, mask)
    assert outcome(warm, issuer.token()) == "OK"


ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256, SEC 2 section 2.4.2


def test_the_second_signature_that_ecdsa_has_makes_nobody_else(provider: LocalEntra, shared_clock: Clock) -> None:
    with ForeignIssuer("ES256", clock=shared_clock) as issuer:  # n - s in place of s
        runtime, token = Runtime(settings_for(provider, issuers=[issuer.trusted()])), issuer.token()
        text, _, signature = token.rpartition(".")
        raw = decode(signature)
        other = raw[:32] + (ORDER - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")
        valid = play(runtime.admit_flow(bearer(f"{text}.{encode(other)}"), "/me"), fetch).value()
        assert valid.user.identity == play(runtime.admit_flow(bearer(token), "/me"), fetch).value().user.identity


# Several issuers


@pytest.fixture
def two(provider: LocalEntra) -> Iterator[tuple[ForeignIssuer, ForeignIssuer]]:
    """Run two issuers whose keys have one id."""
    with ForeignIssuer(clock=provider.clock) as one, ForeignIssuer(clock=provider.clock) as other:
        other.rotate()
        one.key, other.key = (ForeignKey("ES256", "k", each.key.private) for each in (one, other))
        one.publish(one.key)
        other.publish(other.key)
        yield one, other


@pytest.mark.attack(51, 116)
def test_a_key_serves_its_own_issuer_only(
    provider: LocalEntra, two: tuple[ForeignIssuer, ForeignIssuer], run: Run
) -> None:
    one, other = two
    runtime = Runtime(settings_for(provider, issuers=[one.trusted(), other.trusted()]))
    for mine, theirs in (two, two[::-1]):
        assert outcome(runtime, mine.token(), run) == "OK"
        assert outcome(runtime, mine.token(key=theirs.key), run) == "T"
        assert outcome(runtime, theirs.token(key=mine.key), run) == "T"


@pytest.mark.attack(51)
def test_no_other_issuer_mints_tokens_of_entra(provider: LocalEntra, two: tuple[ForeignIssuer, ForeignIssuer]) -> None:
    one, _other = two
    header, payload, _signature = provider.sign_in("alice").split(".")
    entra = json.loads(decode(payload))
    one.publish(key_pair("RS256", 1, json.loads(decode(header))["kid"]))
    runtime = Runtime(settings_for(provider, issuers=[one.trusted(algorithms=["RS256"])]))
    forger = key_pair("RS256", 1)
    for kid in (json.loads(decode(header))["kid"], "k"):
        assert outcome(runtime, forger.sign({"alg": "RS256", "kid": kid, "typ": "JWT"}, entra)) == "T"
    assert one.paths == []


@pytest.mark.attack(51)
def test_entra_mints_no_tokens_of_another_issuer(
    provider: LocalEntra, two: tuple[ForeignIssuer, ForeignIssuer]
) -> None:
    runtime = Runtime(settings_for(provider, issuers=[two[0].trusted(algorithms=["RS256", "ES256"])]))
    assert outcome(runtime, provider.sign_in("alice", iss=two[0].url, aud=AUDIENCE)) == "T"


@pytest.mark.attack(60)
def test_each_issuer_has_its_own_audiences(provider: LocalEntra, two: tuple[ForeignIssuer, ForeignIssuer]) -> None:
    one, other = two
    runtime = Runtime(settings_for(provider, issuers=[one.trusted(audiences=["one"]), other.trusted()]))
    assert (outcome(runtime, one.token(aud="one")), outcome(runtime, other.token())) == ("OK", "OK")
    assert (outcome(runtime, one.token()), outcome(runtime, other.token(aud="one"))) == ("T", "T")
    assert outcome(runtime, provider.sign_in("alice", aud=AUDIENCE)) == "T"
    assert outcome(runtime, one.token(aud=runtime.settings.client_id)) == "T"


@pytest.mark.attack(28)
def test_entras_tokens_are_of_rs256_whatever_others_use(
    provider: LocalEntra, two: tuple[ForeignIssuer, ForeignIssuer]
) -> None:
    runtime = Runtime(settings_for(provider, issuers=[two[0].trusted(algorithms=ALGORITHMS)]))
    for algorithm in ALGORITHMS[1:]:
        assert outcome(runtime, provider.sign_in("alice", headers={"alg": algorithm})) == "T"


def test_each_issuer_is_asked_for_its_keys_only(provider: LocalEntra, two: tuple[ForeignIssuer, ForeignIssuer]) -> None:
    runtime = Runtime(settings_for(provider, issuers=[one.trusted() for one in two]))
    assert outcome(runtime, two[1].token()) == "OK"
    assert (two[0].paths, two[1].paths) == ([], [OIDC, "/keys"])
