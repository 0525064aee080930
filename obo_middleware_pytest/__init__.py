"""Fixtures of pytest for apps that use obo-middleware: a provider and a Graph of each test's own, users, and mishaps.

pytest loads this in every run of an environment that has the package, so nothing is imported before a fixture is used:
neither ``obo_middleware`` nor what the extra ``[testing]`` brings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Self

import pytest

if TYPE_CHECKING:
    from obo_middleware import Settings
    from obo_middleware.testing import LocalEntra, LocalGraph, User

__all__ = [
    "Outcome",
    "SignedIn",
    "as_user",
    "claims_challenge",
    "consent_required",
    "local_entra",
    "local_environment",
    "local_graph",
    "local_settings",
    "provider_down",
]


class SignedIn:
    """Hold a user who has signed in: ``headers`` for any client, or itself as ``auth=`` of httpx and Requests.

    ``user`` is who it is at the provider, ``token`` the access token for the API, which no ``repr`` shows.
    """

    __slots__ = ("token", "user")

    def __init__(self, user: User, token: str) -> None:
        self.user = user
        self.token = token

    def __repr__(self) -> str:
        return f"SignedIn({self.user.name!r})"

    def __call__(self, request: Any) -> Any:
        """Put the token on a request, as httpx and Requests ask it of ``auth=``."""
        request.headers.update(self.headers)
        return request

    @property
    def headers(self) -> dict[str, str]:
        """The header of a request in the user's name."""
        return {"Authorization": f"Bearer {self.token}"}


class Outcome:
    """Hold a mishap that lasts to the end of its test, or of its ``with`` block."""

    def __init__(self, end: Callable[[], object]) -> None:
        self._end = end

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._end()


@pytest.fixture
def local_entra() -> Iterator[LocalEntra]:
    """Return a running identity provider of this test's own, with the users ``alice`` and ``bob``."""
    try:
        from obo_middleware.testing import LocalEntra
    except ImportError:
        pytest.fail(
            "the fixtures of obo-middleware need its extra: pip install 'obo-middleware[testing]'", pytrace=False
        )
    from obo_middleware._runtime import close_at_exit

    with LocalEntra() as running:
        yield running
        close_at_exit()  # the blocking connections of the test's apps, which nobody tells that they end


@pytest.fixture
def local_graph(local_entra: LocalEntra) -> Iterator[LocalGraph]:
    """Return a running Graph of this test's own, for the users of ``local_entra``."""
    from obo_middleware.testing import LocalGraph

    with LocalGraph(local_entra) as running:
        yield running


@pytest.fixture
def local_environment(local_graph: LocalGraph, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Set the variables that ``Settings.from_env`` reads, and ``GRAPH_BASE_URL``, and return them."""
    variables = local_graph.environment
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


@pytest.fixture
def local_settings(local_entra: LocalEntra, local_graph: LocalGraph) -> Callable[..., Settings]:
    """Return a function that makes ``Settings`` for the local provider, with ``graph`` to call; it takes changes."""
    from obo_middleware import DownstreamApi, Settings

    def settings(**changes: Any) -> Settings:
        given: dict[str, Any] = {
            "tenant_id": local_entra.tenant_id,
            "client_id": local_entra.api.client_id,
            "client_credential": local_entra.api.secret,
            "authority": local_entra.authority,
            "allow_local_issuer": True,
            "downstream_apis": {"graph": DownstreamApi(local_graph.base_url, scopes=["User.Read"])},
        }
        return Settings(**(given | changes))

    return settings


@pytest.fixture
def as_user(local_entra: LocalEntra) -> Callable[..., SignedIn]:
    """Return a function that signs a user in at the local provider; one whom it does not know is registered first.

    ``as_user("alice", scopes=["access_as_user"], **claims)``: the claims are added to the token, replace what is there,
    or are left out where they are None.
    """

    def sign_in(name: str = "alice", *, scopes: Sequence[str] = ("access_as_user",), **claims: Any) -> SignedIn:
        user = local_entra.users.get(name) or local_entra.add_user(name)
        return SignedIn(user, local_entra.sign_in(user, scopes=tuple(scopes), **claims))

    return sign_in


@pytest.fixture
def consent_required(local_entra: LocalEntra) -> Callable[..., Outcome]:
    """Return a function that takes a user's consent back: ``consent_required("alice", scopes=["User.Read"])``.

    What the app has in its cache for the user goes on working, as with Entra.
    """

    def outcome(user: str = "alice", *, scopes: Sequence[str] = ("User.Read",)) -> Outcome:
        local_entra.require_consent(user, local_entra.api, scopes)
        return Outcome(lambda: local_entra.grant_consent(user, local_entra.api, scopes))

    return outcome


@pytest.fixture
def claims_challenge(local_entra: LocalEntra) -> Callable[..., Outcome]:
    """Return a function that has the provider ask for a second factor: ``claims_challenge("alice")``.

    The app's client gets the claims if its token declares that it answers them: ``as_user("alice", xms_cc=["cp1"])``.
    """

    def outcome(user: str = "alice") -> Outcome:
        local_entra.require_mfa(user)
        return Outcome(lambda: local_entra.forgive_mfa(user))

    return outcome


@pytest.fixture
def provider_down(local_entra: LocalEntra) -> Callable[..., Outcome]:
    """Return a function that has the provider answer token requests with 503.

    ``provider_down(retry_after=7)`` is in seconds; an app waits that long before it asks for the same user again, also
    when the outage is over.
    """

    def outcome(*, retry_after: float | None = None) -> Outcome:
        local_entra.outage(503, retry_after)
        return Outcome(local_entra.forget_faults)

    return outcome
