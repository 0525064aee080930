"""The confidential client: an application, its authentication and its tokens (RFC 6749 section 2.1).

The application is long-lived; the user's assertion is an argument. So one client serves every user, over one
cache.
"""

from __future__ import annotations

import functools
import logging
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace

from credentials._authority import Authority, check_scopes, check_tenant, resolve_tenant
from credentials._cache import key_of, pair_key
from credentials._claims import with_capability
from credentials._client_authentication import ClientAuthentication, TokenRequestFacts
from credentials._credential import TokenEngine, Want
from credentials._errors import ClientConfigurationError, UnusableAnswerError
from credentials._flow import Flow
from credentials._token_endpoint import (
    UserAssertion,
    client_credentials_form,
    on_behalf_of_form,
    post_flow,
    process_token_response,
    token_request,
)
from credentials._types import AccessTokenInfo

_logger = logging.getLogger("credentials")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenQuery:
    """Say what a token is wanted for: scopes and tenant (checked), ``claims`` JSON, continuous access evaluation.

    ``application`` is the hash of all but the user and the claims. ``refused`` is the token that an API answered with
    these claims, where the caller knows it.
    """

    scopes: tuple[str, ...]
    tenant_id: str
    application: bytes = field(repr=False)
    claims: str | None = None
    enable_cae: bool = False
    refused: str | None = field(default=None, repr=False)


class ConfidentialClient:
    """Get tokens as one application, for itself or on behalf of users.

    Raises ``ValueError`` for an empty ``client_id`` or a malformed ``tenant_id``.
    """

    def __init__(
        self,
        *,
        authority: Authority,
        tenant_id: str,
        client_id: str,
        authentication: ClientAuthentication,
        engine: TokenEngine,
        additionally_allowed_tenants: Collection[str] = (),
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        if not isinstance(client_id, str) or not client_id.strip():
            raise ValueError("client_id must be the application (client) id of the app registration")
        self.tenant_id = check_tenant(tenant_id)
        self.client_id = client_id
        self.engine = engine
        self._authority = authority
        self._authentication = authentication
        self._allowed = frozenset(additionally_allowed_tenants)
        self._new_id = new_id
        self._plain_query = functools.lru_cache(maxsize=1024)(self._new_query)

    def query(
        self,
        scopes: tuple[str, ...],
        *,
        method: str = "get_token",
        claims: str | None = None,
        tenant_id: str | None = None,
        enable_cae: bool = False,
    ) -> TokenQuery:
        """Return a checked query.

        Raises ``ValueError`` for bad scopes and ``ClientAuthenticationError`` for a tenant that is not allowed.
        """
        query = self._plain_query(check_scopes(scopes, method), tenant_id, enable_cae)
        return replace(query, claims=claims) if claims else query

    def key(self, query: TokenQuery, assertion: UserAssertion | None = None) -> bytes:
        """Return the cache key of a token: who, through which client, as which application, for what."""
        return query.application if assertion is None else pair_key(query.application, assertion.partition)

    def fresh(self, query: TokenQuery, assertion: UserAssertion | None = None) -> AccessTokenInfo | None:
        """Return the token from the cache if nothing needs to be done about it, without any wait."""
        return None if query.claims else self.engine.fresh(self.key(query, assertion))

    def token_flow(self, query: TokenQuery, assertion: UserAssertion | None = None) -> Flow[AccessTokenInfo]:
        """Return a token for the application itself, or on behalf of the user whose assertion is given.

        Raises the errors of :mod:`credentials._errors`.
        """
        want = Want(
            key=self.key(query, assertion),
            asker=assertion.token if assertion is not None else "",
            claims=query.claims,
            refused=query.refused,
        )
        return (yield from self.engine.token_flow(want, lambda: self._exchange_flow(query, assertion)))

    def _exchange_flow(self, query: TokenQuery, assertion: UserAssertion | None) -> Flow[AccessTokenInfo]:
        url = self._authority.token_endpoint(query.tenant_id)
        form = self._form(query, assertion)
        facts = TokenRequestFacts(
            client_id=self.client_id,
            tenant_id=query.tenant_id,
            token_endpoint=url,
            now=self.engine.clock(),
            assertion_id=self._new_id(),
        )
        form |= yield from self._authentication.authenticate_flow(facts)
        response = yield from post_flow(token_request(url, form, self._new_id()))
        requested = query.scopes if assertion is not None else ()
        try:
            return process_token_response(response, now=self.engine.clock(), requested=requested, assertion=assertion)
        except ClientConfigurationError as error:
            _logger.error("the application %s is not set up rightly at its provider: %s", self.client_id, error)
            raise
        except UnusableAnswerError as error:
            _logger.error("an answer for the application %s is refused: %s", self.client_id, error)
            raise

    def _form(self, query: TokenQuery, assertion: UserAssertion | None) -> dict[str, str]:
        if assertion is None:
            form = client_credentials_form(self.client_id, query.scopes)
        else:
            form = on_behalf_of_form(self.client_id, query.scopes, assertion)
        claims = with_capability(query.claims) if query.enable_cae else query.claims
        return form | {"claims": claims} if claims else form

    def _new_query(self, scopes: tuple[str, ...], tenant_id: str | None, enable_cae: bool) -> TokenQuery:
        tenant = resolve_tenant(self.tenant_id, tenant_id, self._allowed)
        what = (*sorted(scopes), "cae" if enable_cae else "no cae")
        application = key_of(self._authority.url, tenant, self.client_id, *what)
        return TokenQuery(scopes=scopes, tenant_id=tenant, application=application, enable_cae=enable_cae)
