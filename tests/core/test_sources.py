from __future__ import annotations

from typing import Any

import pytest
from azure.core.exceptions import ClientAuthenticationError

import credentials.aio
from credentials import AccessToken, AccessTokenInfo, AuthenticationError
from credentials._flow import RunFlow
from credentials.kernel import TokenEngine
from obo_middleware._context import AsyncContext
from obo_middleware._runtime import Runtime
from obo_middleware._sources import ForeignSource
from obo_middleware.errors import UnusableUpstreamError
from obo_middleware.testing import LocalEntra
from tests.core.faces import Face, make_face
from tests.core.hostile import Answer, Scripted
from tests.core.kit import NOW, Clock, api, bearer, fetch, no_answer, play, settings_for
from tests.core.test_auth_challenges import CLAIMS, challenge, first

SCOPES = ("https://graph.microsoft.com/.default",)


class Foreign:
    """A credential in the manner of azure-identity, blocking."""

    def __init__(self) -> None:
        self.asked: list[tuple[tuple[str, ...], dict[str, Any]]] = []
        self.error: Exception | None = None

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        self.asked.append((scopes, options))
        if self.error is not None:
            raise self.error
        return AccessToken(f"foreign-{len(self.asked)}", int(NOW) + 3600)


class AwaitableForeign(Foreign):
    """The same, awaitable."""

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:  # type: ignore[override]  # the other colour
        return super().get_token(*scopes, **options)


@pytest.fixture(params=[Foreign, AwaitableForeign])
def foreign(request: pytest.FixtureRequest) -> Foreign:
    made: Foreign = request.param()
    return made


def as_app(face: Face) -> Any:
    return face.call(AsyncContext(face.runtime, None), "/me", as_app=True)


@pytest.fixture
def with_foreign(face: Face, entra: LocalEntra, server: Scripted, foreign: Foreign) -> Face:
    return make_face(entra, server, face.library, blocking=face.blocking, app_credential=foreign)


def test_a_foreign_credential_serves_both_colours_and_is_asked_once(with_foreign: Face, foreign: Foreign) -> None:
    for _ in range(3):
        assert as_app(with_foreign).status_code == 200
    assert with_foreign.tokens == ["foreign-1"] * 3
    assert foreign.asked == [(SCOPES, {"enable_cae": True})]
    assert with_foreign.entra.token_requests == []
    with_foreign.runtime.close()


@pytest.mark.attack(174)
def test_a_foreign_credential_answers_a_claims_challenge(with_foreign: Face, foreign: Foreign) -> None:
    with_foreign.server.say("/v1/me", first(challenge()))
    assert as_app(with_foreign).status_code == 200
    assert with_foreign.tokens == ["foreign-1", "foreign-2"]
    assert foreign.asked[1] == (SCOPES, {"enable_cae": True, "claims": CLAIMS})
    as_app(with_foreign)
    assert with_foreign.tokens[2] == "foreign-2"
    with_foreign.runtime.close()


@pytest.mark.parametrize("error", [RuntimeError("boom\neyJhbGciOiJSUzI1NiJ9.e30.x"), ClientAuthenticationError("no")])
def test_whatever_a_foreign_credential_raises_is_an_unusable_answer(
    with_foreign: Face, foreign: Foreign, error: Exception
) -> None:
    foreign.error = error
    with pytest.raises(UnusableUpstreamError) as caught:
        as_app(with_foreign)
    assert "eyJ" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert with_foreign.server.connections == 0
    foreign.error = None
    assert as_app(with_foreign).status_code == 200
    with_foreign.runtime.close()


@pytest.mark.parametrize("library", [credentials, credentials.aio])
def test_a_credential_of_ours_runs_in_the_drivers_own_colour_over_its_own_connections(library: Any) -> None:
    own = library.ClientSecretCredential("tenant", "client", "secret")
    flow = ForeignSource.of(TokenEngine(clock=Clock()), own, SCOPES, enable_cae=True).token_flow()
    effect = next(flow)
    assert isinstance(effect, RunFlow)
    assert effect.pool is own._pool
    flow.close()


def test_users_do_not_get_the_foreign_token(with_foreign: Face) -> None:
    with_foreign.server.say("/v1/me", Answer())
    with_foreign.get("alice")
    assert not with_foreign.tokens[0].startswith("foreign")
    with_foreign.runtime.close()


def foreign_source(engine: TokenEngine, foreign: Foreign, *scopes: str, cae: bool = False) -> ForeignSource:
    return ForeignSource.of(engine, foreign, scopes, enable_cae=cae)


def test_a_foreign_token_is_kept_by_credential_scopes_and_evaluation() -> None:
    engine, one, other = TokenEngine(clock=Clock()), Foreign(), Foreign()
    sources = [
        foreign_source(engine, one, "a"),
        foreign_source(engine, one, "a", "b"),
        foreign_source(engine, one, "a", cae=True),
        foreign_source(engine, other, "a"),
    ]
    assert len({source.key for source in sources}) == len(sources)
    assert foreign_source(engine, one, "b", "a").key == sources[1].key
    assert "credential=" not in repr(sources[0])


def test_a_foreign_credentials_own_kind_of_error_comes_through_and_others_are_named() -> None:
    engine, foreign = TokenEngine(clock=Clock()), Foreign()
    source = foreign_source(engine, foreign, "a")

    def answer(effect: Any) -> object:
        try:
            return foreign.get_token(*effect.scopes, **effect.options)
        except Exception as error:  # noqa: BLE001  # thrown into the flow, as the drivers do
            return error

    foreign.error = ClientAuthenticationError("theirs")
    assert play(source.token_flow(), answer).error is foreign.error
    foreign.error = KeyError("x")
    error = play(source.token_flow(), answer).error
    assert isinstance(error, AuthenticationError)
    assert str(error) == "Foreign raised KeyError: 'x'"


def test_clients_whose_same_token_was_refused_share_what_a_foreign_credential_answers() -> None:
    source = foreign_source(TokenEngine(clock=Clock()), Foreign(), "a")
    info = AccessTokenInfo("foreign-1", int(NOW) + 3600)
    first_one = play(source.token_flow(CLAIMS, "refused"), lambda _effect: info)
    next_one = play(source.token_flow(CLAIMS, "refused"), no_answer)
    assert first_one.value() == next_one.value() == info


def test_clients_whose_same_token_was_refused_share_one_exchange(entra: LocalEntra) -> None:
    made = settings_for(entra, downstream_apis={"api": api("http://127.0.0.1:9")})
    runtime = Runtime(made)
    valid = play(runtime.admit_flow(bearer(entra.sign_in("alice")), "/me"), fetch).value()
    sources = [runtime.source("api", valid) for _ in range(2)]
    tokens = {play(source.token_flow(CLAIMS, "refused"), fetch).value().token for source in sources}
    assert (len(tokens), entra.exchanges) == (1, 1)


def test_the_sources_of_users_and_application_know_their_scopes(entra: LocalEntra) -> None:
    made = settings_for(entra, downstream_apis={"api": api("http://127.0.0.1:9", scopes=["b", "a"])})
    runtime = Runtime(made)
    valid = play(runtime.admit_flow(bearer(entra.sign_in("alice")), "/me"), fetch).value()
    assert runtime.source("api", valid).scopes == ("b", "a")
    assert runtime.source("api", None).scopes == SCOPES
    assert valid.assertion.token not in repr(runtime.source("api", valid))


def test_a_credential_is_given_to_the_handler_as_it_is(entra: LocalEntra) -> None:
    own = Foreign()
    context = AsyncContext(Runtime(settings_for(entra, app_credential=own)), None)
    assert context.app_credential is own
