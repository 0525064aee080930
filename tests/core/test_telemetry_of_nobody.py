"""Requests that are not let in are counted, and nothing that is told says who anybody is."""

from __future__ import annotations

import re

import pytest

from obo_middleware._runtime import Runtime
from obo_middleware.errors import InvalidTokenError, OboError, UpstreamUnavailableError
from obo_middleware.testing import LocalEntra
from tests.core.faces import Face
from tests.core.hostile import Answer
from tests.core.kit import (
    SECRET,
    Clock,
    Run,
    bearer,
    claims_of,
    header_of,
    no_answer,
    play,
    settings_for,
)
from tests.core.test_auth_challenges import challenge, first
from tests.core.watching import Watching

# Who is not let in


def forged(entra: LocalEntra) -> str:
    return entra.sign_in("bob")[:-4] + "AAAA"


def test_requests_that_are_not_let_in_are_counted_by_their_reason(
    entra: LocalEntra, watching: Watching, run: Run, clock: Clock
) -> None:
    runtime = Runtime(settings_for(entra, required_scopes=["access_as_user"], telemetry=watching.telemetry))
    old = entra.sign_in("alice")
    clock.now += 90_000
    powerless = bearer(entra.sign_in("alice", scp="other"))
    requests = [[], [b"Bearer"], bearer("a.b"), bearer(forged(entra)), bearer(old), powerless]
    for values in requests:
        with pytest.raises(OboError):
            run(runtime.admit_flow(values, "/me"))
    with pytest.raises(OboError):
        runtime.known(powerless, "/me")
    assert watching.points("obo.validation.failures") == {
        ("missing_token",): 1,
        ("malformed_request",): 1,
        ("malformed",): 1,
        ("signature",): 1,
        ("expired",): 1,
        ("not_allowed",): 2,
    }


def test_a_provider_that_is_down_is_a_reason_too(entra: LocalEntra, watching: Watching, run: Run) -> None:
    entra.outage(endpoints=("metadata",))
    runtime = Runtime(settings_for(entra, telemetry=watching.telemetry))
    with pytest.raises(UpstreamUnavailableError):
        run(runtime.admit_flow(bearer(entra.sign_in("alice")), "/me"))
    assert watching.points("obo.validation.failures") == {("provider_unavailable",): 1}
    assert watching.points("obo.metadata.duration") == {("provider_unavailable",): 1}


def test_without_telemetry_a_request_is_refused_all_the_same(entra: LocalEntra) -> None:
    runtime = Runtime(settings_for(entra))
    with pytest.raises(InvalidTokenError):
        play(runtime.admit_flow(bearer("a.b"), "/me"), no_answer).value()


# Nothing of anybody

WORD = re.compile(r"[a-z_]+|_OTHER|obo\.[a-z]+|None")


@pytest.mark.attack(186)
def test_no_attribute_says_who_a_user_is_or_has_a_token(
    watched: Face, watching: Watching, entra: LocalEntra, waits: list[float]
) -> None:
    users = ("alice", "bob")
    secrets: set[str] = {SECRET, entra.tenant_id, entra.api.client_id}
    off = Answer(429, b"later", [("Retry-After", "7")])
    contexts = {user: watched.context(user) for user in users}
    for user, context in contexts.items():
        watched.server.say("/v1/me", first(challenge(), off))
        token = entra.sign_in(user)
        secrets |= {token, header_of(token)["kid"], *(v for v in claims_of(token).values() if isinstance(v, str))}
        for _ in range(3):
            assert watched.call(context, f"/me?user={user}").status_code == 200
        with pytest.raises(OboError):
            play(watched.runtime.admit_flow(bearer(token[:-4] + "AAAA"), "/me"), no_answer).value()
    entra.require_consent("alice", entra.api, ["User.Read"])
    entra.require_mfa("bob")
    watched.runtime.engine.forget(b"")
    for context in contexts.values():
        with pytest.raises(OboError):
            watched.call(context, "/me")
    secrets |= set(watched.tokens)
    told = list(watching.told())
    assert len({name for name, _ in told}) > 6
    assert [text for _, text in told if not WORD.fullmatch(text)] == [], "names of the settings, and words"
    assert [text for _, text in told for secret in secrets - {"", "2.0", "user_impersonation"} if secret in text] == []
