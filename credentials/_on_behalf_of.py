"""The on-behalf-of credential: a downstream token for the user whose token an API received.

Facts: Microsoft identity platform, "OAuth 2.0 On-Behalf-Of flow" (RFC 7523 section 2.1 with
``requested_token_use``).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Self, Unpack

from credentials._application import ApplicationFamily, ClientOptions, one_of
from credentials._cache import key_of
from credentials._client_assertion import AssertionSource, ClientAssertion
from credentials._client_authentication import ClientAuthentication, ClientCertificate, ClientSecret
from credentials._colours import AsyncColour, BlockingColour
from credentials._confidential_client import ConfidentialClient
from credentials._credential import TokenQuery
from credentials._flow import Flow
from credentials._pool import ConnectionPool
from credentials._token_endpoint import UserAssertion
from credentials._types import AccessTokenInfo, TokenRequestOptions


class _OnBehalfOf(ApplicationFamily):
    _assertion: UserAssertion
    _tenant_id: str | None = None
    _check: Callable[[], None] = staticmethod(lambda: None)

    def __init__(
        self,
        tenant_id: str,
        client_id: str,
        *,
        user_assertion: str | None = None,
        user_assertion_token: str | None = None,
        client_secret: str | None = None,
        client_certificate: bytes | None = None,
        certificate_path: str | os.PathLike[str] | None = None,
        password: str | bytes | None = None,
        certificate_password: str | bytes | None = None,
        send_certificate_chain: bool = False,
        client_assertion_func: AssertionSource | None = None,
        get_assertion: AssertionSource | None = None,
        **options: Unpack[ClientOptions],
    ) -> None:
        token = one_of("user_assertion", user_assertion, user_assertion_token)
        if not isinstance(token, str) or not token:
            raise ValueError("user_assertion must be the access token that the API received from its user")
        certificate = bool(client_certificate or certificate_path)
        source: AssertionSource | None = one_of("client_assertion_func", client_assertion_func, get_assertion)
        passphrase: str | bytes | None = one_of("password", password, certificate_password)
        _check_exactly_one(client_secret=client_secret, client_certificate=certificate, client_assertion_func=source)
        authentication: ClientAuthentication
        if source:
            authentication = ClientAssertion.of(source)
        elif client_secret:
            authentication = ClientSecret(client_secret)
        else:
            authentication = ClientCertificate(
                certificate_path,
                data=client_certificate,
                password=passphrase,
                send_certificate_chain=send_certificate_chain,
            )
        self._set_up(tenant_id, client_id, authentication, **options)
        self._assertion = UserAssertion(token=token, partition=key_of("assertion", token))

    @classmethod
    def of(
        cls,
        client: ConfidentialClient,
        pool: ConnectionPool,
        assertion: UserAssertion,
        *,
        tenant_id: str | None,
        check: Callable[[], None],
    ) -> Self:
        """Return a user's credential over a client that others use too.

        ``tenant_id`` is asked where the caller names none; ``check`` raises once the credential must not be
        used any more.
        """
        credential = cls.__new__(cls)
        credential._client, credential._pool, credential._assertion = client, pool, assertion
        credential._tenant_id, credential._check, credential._owns_pool = tenant_id, check, False
        return credential

    def _query(self, scopes: tuple[str, ...], method: str, options: TokenRequestOptions) -> TokenQuery:
        self._check()
        check_no_refresh(scopes)
        if self._tenant_id is not None and not options.get("tenant_id"):
            options = {**options, "tenant_id": self._tenant_id}
        return super()._query(scopes, method, options)

    def _fresh(self, query: TokenQuery) -> AccessTokenInfo | None:
        return self._client.fresh(query, self._assertion)

    def _token_flow(self, query: TokenQuery) -> Flow[AccessTokenInfo]:
        return self._client.token_flow(query, self._assertion)


class OnBehalfOfCredential(BlockingColour, _OnBehalfOf):
    """Get downstream tokens on behalf of the user whose token an API received, blocking.

    ``user_assertion`` is that token. The application authenticates with exactly one of ``client_secret``, a
    certificate (the bytes as ``client_certificate`` or a ``certificate_path``, PEM or PFX, with ``password``)
    or ``client_assertion_func``, which returns a client assertion or is a :class:`ClientAssertion`.
    ``user_assertion_token``, ``certificate_password`` and ``get_assertion`` are the JavaScript library's names
    for the same. The other options are those of :class:`ClientOptions`. Raises ``ValueError`` for arguments
    that are missing, malformed or contradict each other.
    """


class AsyncOnBehalfOfCredential(AsyncColour, _OnBehalfOf):
    """Get downstream tokens on behalf of the user whose token an API received, awaitable.

    The arguments are those of the blocking :class:`OnBehalfOfCredential`.
    """


def check_no_refresh(scopes: tuple[str, ...]) -> None:
    """Raise ``ValueError`` for ``offline_access``: a refresh token would outlive the user's session with this API."""
    if "offline_access" in scopes:
        raise ValueError(
            "scope 'offline_access' is not asked for on behalf of a user: no refresh token is kept. Leave it out."
        )


def _check_exactly_one(**given: object) -> None:
    names = [name for name, value in given.items() if value]
    if len(names) > 1:
        raise ValueError(f"more than one of the following is given: {', '.join(names)}. Give exactly one.")
    if not names:
        raise ValueError(f"give exactly one of {', '.join(given)}, so that the application can prove who it is")
