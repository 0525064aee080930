"""Client assertions from somewhere else: a callback, a file, or the managed identity of the machine (RFC 7523)."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Unpack

from credentials._application import check_options
from credentials._client_authentication import FileAssertion, TokenRequestFacts, Unshared, assertion_fields
from credentials._errors import AuthenticationError, ClientAuthenticationError
from credentials._flow import Flow, call
from credentials._pool import ConnectionPool
from credentials._types import Place

if TYPE_CHECKING:
    from credentials._managed_identity import ManagedIdentityFamily, ManagedIdentityOptions

TOKEN_EXCHANGE = "api://AzureADTokenExchange"  # noqa: S105  # an audience, no secret
"""The audience of a managed identity's token that stands in for a secret, in the public cloud."""


@dataclass(frozen=True, slots=True)
class _Identity:
    """A managed identity whose tokens are the assertions."""

    credential: ManagedIdentityFamily
    audience: str

    def token_flow(self, place: Place) -> Flow[str]:
        info = yield from self.credential._member_flow((self.audience,), {}, place=place)
        return info.token


@dataclass(frozen=True, slots=True)
class ClientAssertion(Unshared):
    """Authenticate with assertions that a callback makes, plain or ``async``; it is called for each token request."""

    callback: Callable[[], str | Awaitable[str]] | _Identity = field(repr=False)

    def __post_init__(self) -> None:
        if not callable(self.callback) and not isinstance(self.callback, _Identity):
            raise ValueError("the client assertion must be a function without parameters that returns the assertion")

    @property
    def kind(self) -> str:
        """Where the assertions come from, for the log: ``managed identity``, ``token file`` or ``function``."""
        if isinstance(self.callback, _Identity):
            return "managed identity"
        return "token file" if isinstance(self.callback, FileAssertion) else "function"

    @classmethod
    def of(cls, source: AssertionSource) -> ClientAssertion:
        """Return the authentication by a callback; one that is a client assertion already is returned as it is."""
        return source if isinstance(source, ClientAssertion) else cls(source)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> ClientAssertion:
        """Return an authentication by the token in a file, read for each request (Kubernetes' projected tokens).

        A missing or empty file raises :class:`CredentialUnavailableError` when a token is asked for, and what can be no
        path ``ValueError`` at once.
        """
        name = os.fspath(path) if isinstance(path, os.PathLike) else path
        if not isinstance(name, str):
            raise ValueError(f"path must be the path of the token file, a string, and not {type(path).__name__}")
        return cls(FileAssertion(name))

    @classmethod
    def from_managed_identity(
        cls, client_id: str | None = None, *, audience: str = TOKEN_EXCHANGE, **options: Unpack[ManagedIdentityOptions]
    ) -> ClientAssertion:
        """Return an authentication by this machine's managed identity, so that the application needs no secret.

        The app registration must trust the identity (a federated credential). ``client_id`` chooses a user-assigned
        identity, as do the other options of :class:`ManagedIdentityCredential`. ``audience`` differs in other clouds:
        ``api://AzureADTokenExchangeUSGov``, ``api://AzureADTokenExchangeChina``. Raises ``ValueError`` for a malformed
        argument, and ``TypeError`` for an unknown one.
        """
        from credentials import _managed_identity as module  # few applications have one

        check_options("ClientAssertion.from_managed_identity", options, module.ManagedIdentityOptions.__annotations__)
        try:
            module.resource_of((audience,), "audience")
        except ValueError:
            raise ValueError(f"audience must be a string without spaces, such as {TOKEN_EXCHANGE!r}") from None
        return cls(_Identity(module.ManagedIdentityFamily(client_id=client_id, **options), audience))

    @property
    def pools(self) -> tuple[ConnectionPool, ...]:
        """The connections that the assertions' source opens."""
        return self.callback.credential._pools() if isinstance(self.callback, _Identity) else ()

    def authenticate_flow(self, facts: TokenRequestFacts) -> Flow[dict[str, str]]:
        """Return what the callback returns.

        Raises :class:`AuthenticationError` if it fails or returns no text; its own credential errors come
        through.
        """
        try:
            assertion = yield from self._assertion_flow(facts.place)
        except ClientAuthenticationError:
            raise
        except Exception as error:
            raise AuthenticationError(f"the client assertion callback raised {type(error).__name__}") from error
        if not isinstance(assertion, str) or not assertion:
            raise AuthenticationError(
                "the client assertion callback must return the assertion, a string that is not empty"
            )
        return assertion_fields(assertion)

    def _assertion_flow(self, place: Place) -> Flow[str]:
        if isinstance(self.callback, _Identity):
            return (yield from self.callback.token_flow(place))
        return (yield from call(self.callback))


AssertionSource = Callable[[], str | Awaitable[str]] | ClientAssertion
"""What a credential takes as its client assertion: a function without parameters, plain or ``async``, or the value."""
