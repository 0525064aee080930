from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Any

import pytest

import credentials
from obo_middleware import ConfigurationError, ProtectedResource
from obo_middleware._context import AsyncContext, BlockingContext
from obo_middleware._runtime import Answerable, Runtime, answerable_in
from obo_middleware._sources import ForeignSource
from obo_middleware._validation import Validated
from obo_middleware.errors import (
    ClaimsChallengeError,
    ConsentNeededError,
    InvalidTokenError,
    MalformedRequestError,
    MissingTokenError,
    OboError,
    RefusedRequestError,
    UnusableUpstreamError,
    UpstreamUnavailableError,
    WrongOriginError,
    answer_for,
)
from obo_middleware.testing import LocalEntra
from tests.core.kit import SECRET, TENANT, Run, World, api, bearer, claims_of, no_answer, play, settings, settings_for
from tests.marks import showing


@pytest.mark.parametrize("value", [None, {}, "settings", object()])
def test_anything_but_settings_is_refused(value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"settings is a \w+: give an obo_middleware.Settings"):
        Runtime(value)


def test_an_app_for_many_tenants_needs_a_credential_of_its_own_for_calls_as_itself(entra: LocalEntra) -> None:
    made = settings_for(
        entra, tenant_id="organizations", allowed_tenants=["*"], downstream_apis={"graph": api("https://a.example")}
    )
    runtime = Runtime(made)
    with pytest.raises(ConfigurationError, match=r"app_credential is missing, .*'organizations'.*: give Settings"):
        runtime.source("graph", None)
    with pytest.raises(ConfigurationError, match="app_credential is missing"):
        runtime.app_credential(blocking=True)


def test_an_app_for_many_tenants_calls_as_itself_with_the_credential_that_it_has(entra: LocalEntra) -> None:
    own = credentials.ClientSecretCredential(TENANT, "client", SECRET)
    many = {"tenant_id": "organizations", "allowed_tenants": ["*"], "app_credential": own}
    runtime = Runtime(settings_for(entra, downstream_apis={"graph": api("https://a.example")}, **many))
    source = runtime.source("graph", None)
    assert isinstance(source, ForeignSource)
    assert source.credential is own
    assert runtime.app_credential(blocking=True) is own


def test_the_only_tenant_is_asked_by_the_name_that_the_settings_have(entra: LocalEntra, run: Run) -> None:
    valid = run(Runtime(settings_for(entra)).admit_flow(bearer(entra.sign_in("alice")), "/me"))
    assert Runtime(settings(tenant_id="contoso.example")).tenant_of(valid) is None


# Before the handler


def admit(runtime: Runtime, values: Sequence[bytes], path: str = "/me") -> Validated | None:
    """Do as an adapter does, with a provider that nobody may ask."""
    valid: Validated | None = runtime.known(values, path) or play(runtime.admit_flow(values, path), no_answer).value()
    return valid


@pytest.mark.attack(1)
def test_a_token_is_required_but_on_public_paths(entra: LocalEntra) -> None:
    runtime = Runtime(settings_for(entra, public_paths=["/health", "/"]))
    with pytest.raises(MissingTokenError):
        admit(runtime, [])
    for values in ([], [b"Bearer a"], [b"Bearer"], [b"Bearer a", b"Bearer b"]):
        assert admit(runtime, values, "/health") is None


def test_on_public_paths_nobody_is_signed_in_not_even_with_a_known_token(entra: LocalEntra, run: Run) -> None:
    runtime, values = Runtime(settings_for(entra, public_paths=["/health"])), bearer(entra.sign_in("alice"))
    assert run(runtime.admit_flow(values, "/me")) is not None
    assert runtime.known(values, "/me") is not None
    assert runtime.known(values, "/health") is None
    assert run(runtime.admit_flow(values, "/health")) is None


@pytest.mark.attack(6)
def test_two_headers_are_refused_although_each_is_known(entra: LocalEntra, run: Run) -> None:
    runtime, values = Runtime(settings_for(entra)), bearer(entra.sign_in("alice"))
    run(runtime.admit_flow(values, "/me"))
    with pytest.raises(MalformedRequestError):
        admit(runtime, values * 2)


def test_the_metadata_of_the_api_is_at_its_own_path_only(entra: LocalEntra) -> None:
    resource = ProtectedResource("https://api.example/notes")
    path, runtime = resource.metadata_path, Runtime(settings_for(entra, protected_resource=resource))
    answered = [each for each in ("/", "/me", path, f"{path}/", path.upper()) if runtime.published(each, "GET")]
    assert answered == [path]
    assert Runtime(settings_for(entra)).published(path, "GET") is None


@pytest.mark.attack(15)
def test_a_known_token_and_one_from_the_proxy_are_refused_together(entra: LocalEntra, run: Run) -> None:
    runtime, known = Runtime(settings_for(entra)), bearer(entra.sign_in("alice"))
    assert run(runtime.admit_flow(known, "/me")) is not None
    with pytest.raises(MalformedRequestError):
        runtime.known(known, "/me", proxied=[entra.sign_in("bob").encode()])


@pytest.mark.attack(15)
def test_a_token_from_the_proxy_is_known_the_next_time(entra: LocalEntra, run: Run) -> None:
    runtime, proxied = Runtime(settings_for(entra)), [entra.sign_in("alice").encode()]
    assert runtime.known([], "/me", proxied=proxied) is None
    assert run(runtime.admit_flow([], "/me", proxied=proxied)) == runtime.known([], "/me", proxied=proxied) is not None


@pytest.mark.attack(16)
@pytest.mark.parametrize(
    "path", ["/health/", "/Health", "/health/x", "//health", "/x/../health", "/health%2f", "", "/h"]
)
def test_public_paths_are_exact(entra: LocalEntra, path: str) -> None:
    with pytest.raises(MissingTokenError):
        admit(Runtime(settings_for(entra, public_paths=["/health"])), [], path)


def test_where_no_token_is_required_a_bad_one_is_still_refused(entra: LocalEntra) -> None:
    runtime = Runtime(settings_for(entra, required=False))
    assert admit(runtime, []) is None
    assert admit(runtime, [b"Basic x"]) is None
    with pytest.raises(MalformedRequestError):
        admit(runtime, [b"Bearer"])
    with pytest.raises(InvalidTokenError):
        admit(runtime, [b"Bearer a.b.c"])


def test_a_warm_start_spares_the_first_user_the_fetch(entra: LocalEntra, run: Run) -> None:
    runtime = Runtime(settings_for(entra))
    run(runtime.warm_up_flow())
    assert (entra.requests_to("metadata"), entra.requests_to("jwks")) == (2, 2)
    entra.reset_counts()
    run(runtime.admit_flow(bearer(entra.sign_in("alice")), "/me"))
    assert (entra.requests_to("metadata"), entra.requests_to("jwks")) == (0, 0)


def test_a_provider_that_is_down_does_not_stop_the_start(
    entra: LocalEntra, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    entra.outage(endpoints=("metadata",))
    run(Runtime(settings_for(entra)).warm_up_flow())
    assert "the provider is not available at start" in caplog.text


@pytest.mark.attack(112)
def test_settings_that_cannot_be_right_stop_the_start(entra: LocalEntra, run: Run) -> None:
    entra.answer_once(body=b'{"issuer":"https://evil.example/x/v2.0","jwks_uri":"x"}', endpoint="metadata")
    with pytest.raises(ConfigurationError):
        run(Runtime(settings_for(entra)).warm_up_flow())


# The application itself


def test_the_application_has_a_credential_of_each_colour(entra: LocalEntra) -> None:
    world = World(entra, Runtime(settings_for(entra)))
    awaitable: Any = AsyncContext(world.runtime, None).app_credential
    blocking: Any = BlockingContext(world.runtime, None).app_credential
    scope = "https://graph.microsoft.com/.default"
    tokens = [world.run(lambda: awaitable.get_token(scope)).token, blocking.get_token(scope).token]
    assert (tokens[0], claims_of(tokens[0])["idtyp"]) == (tokens[1], "app")
    assert len(entra.token_requests) == 1
    world.runtime.close()


def test_connections_can_be_closed_and_opened_again(entra: LocalEntra) -> None:
    world = World(entra, Runtime(settings_for(entra)))
    valid = world.valid()
    context = AsyncContext(world.runtime, valid)
    assert context.blocking_credential.get_token("User.Read")

    async def main() -> None:
        await context.credential.get_token("Mail.Read")
        await world.runtime.aclose()
        await context.credential.get_token("User.Read", enable_cae=True)
        await world.runtime.aclose()

    world.run(main)
    assert entra.exchanges == 3


# How errors end

ERRORS: list[Any] = [
    *showing(145, (credentials.ConsentRequiredError("AADSTS65001"), ConsentNeededError, 403)),
    (credentials.InteractionRequiredError("AADSTS50076"), ClaimsChallengeError, 403),
    *showing(146, (credentials.InvalidAssertionError("AADSTS50013"), InvalidTokenError, 401)),
    *showing(148, (credentials.ProviderUnavailableError("down"), UpstreamUnavailableError, 503)),
    *showing(147, (credentials.ClientConfigurationError("AADSTS7000215"), ConfigurationError, 500)),
    (credentials.CredentialUnavailableError("no token file"), ConfigurationError, 500),
    (credentials.AuthenticationError("odd"), UnusableUpstreamError, 502),
    (credentials.ClientAuthenticationError("theirs"), UnusableUpstreamError, 502),
]


@pytest.mark.parametrize(("error", "kind", "status"), ERRORS, ids=lambda value: getattr(value, "__name__", None))
def test_a_credentials_error_is_answered_as_what_it_means(
    error: credentials.ClientAuthenticationError, kind: type[OboError], status: int
) -> None:
    answer = answer_for(error, ["a"])
    assert type(answer) is kind
    assert str(error) in str(answer)
    reply = Runtime(settings()).reply(error, None)
    assert reply.status == status
    assert str(error) not in reply.body.decode()
    assert isinstance(error, Answerable)


def test_an_answer_has_what_the_caller_needs_next() -> None:
    consent = answer_for(credentials.ConsentRequiredError("x"), ["a", "b"])
    assert isinstance(consent, ConsentNeededError)
    assert consent.scopes == ("a", "b")


def test_a_group_of_errors_is_answered_as_its_first_where_all_can_be_answered() -> None:
    missing, down = MissingTokenError(), credentials.ProviderUnavailableError("down")
    assert answerable_in(missing) is missing
    assert answerable_in(KeyError()) is None
    assert answerable_in(ExceptionGroup("g", [ExceptionGroup("h", [down]), missing])) is down
    for other in (KeyError(), ExceptionGroup("h", [KeyError(), down])):
        assert answerable_in(ExceptionGroup("g", [missing, other])) is None


@pytest.mark.attack(189)
@pytest.mark.parametrize(
    "error", [ValueError("x" + SECRET), KeyError("k"), RecursionError(), UnicodeDecodeError("u", b"", 0, 0, "")]
)
def test_an_unexpected_error_is_answered_without_a_word_about_it(error: Exception) -> None:
    reply = Runtime(settings()).reply(error, None)
    assert json.loads(reply.body) == {"title": "Internal Server Error", "status": 500}
    assert "WWW-Authenticate" not in dict(reply.headers)


@pytest.mark.parametrize(
    ("error", "level"),
    [
        (ConfigurationError("wrong secret"), logging.ERROR),
        (WrongOriginError("outside"), logging.ERROR),
        (RefusedRequestError("refused"), logging.ERROR),
        (KeyError("bug"), logging.ERROR),
        (UpstreamUnavailableError("down"), logging.WARNING),
        (UnusableUpstreamError("html"), logging.WARNING),
        (InvalidTokenError("expired"), logging.INFO),
        (MissingTokenError(), logging.INFO),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_the_log_says_what_the_client_is_not_told(
    error: Exception, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        reply = Runtime(settings()).reply(error, None)
    (record,) = caplog.records
    assert (record.levelno, record.name) == (level, "obo_middleware")
    assert (record.exc_info is not None) == (level == logging.ERROR)
    assert type(error).__name__ in caplog.text
    assert str(error) in caplog.text
    assert str(error).strip("'") not in reply.body.decode() or isinstance(error, MissingTokenError)


@pytest.mark.attack(184)
def test_no_token_and_no_secret_is_in_any_log_line(entra: LocalEntra, caplog: pytest.LogCaptureFixture) -> None:
    apis = {"api": api("http://127.0.0.1:9")}
    world = World(entra, Runtime(settings_for(entra, downstream_apis=apis)))
    with caplog.at_level(logging.DEBUG):
        context = world.context("alice")
        context.blocking_credential.get_token("User.Read")
        forged = entra.sign_in("bob")[:-4] + "AAAA"
        refused = play(world.runtime.admit_flow(bearer(forged), "/me"), list).error
        assert refused is not None
        world.runtime.reply(refused, None)
        entra.require_consent("alice", entra.api, ["Mail.Read"])
        with pytest.raises(credentials.ConsentRequiredError) as caught:
            context.blocking_credential.get_token("Mail.Read")
        world.runtime.reply(caught.value, context.user)
    text = caplog.text + repr(context.user) + repr(context) + repr(world.runtime.settings) + str(caught.value)
    assert "ConsentNeededError" in text
    assert "eyJ" not in text
    assert SECRET not in text
    world.runtime.close()


def test_the_scopes_and_tenant_of_a_consent_link_are_the_applications(entra: LocalEntra) -> None:
    reply = Runtime(settings_for(entra)).reply(ConsentNeededError("x", scopes=["User.Read"]), None)
    assert json.loads(reply.body)["consent_uri"].startswith(f"{entra.authority}/{TENANT}/oauth2/v2.0/authorize?")
