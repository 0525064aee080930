"""The confidential client: an application, its authentication and its tokens (RFC 6749 section 2.1).

The application is long-lived; the user's assertion is an argument. So one client serves every user, over one
cache.
"""

from __future__ import annotations

import functools
import logging
import uuid
from collections.abc import Callable, Collection
from dataclasses import replace

from credentials._advice import with_advice
from credentials._authority import Authority, check_scopes, check_tenant, resolve_tenant
from credentials._cache import key_of, pair_key
from credentials._claims import with_capability
from credentials._client_authentication import ClientAuthentication, TokenRequestFacts
from credentials._credential import TokenEngine, TokenQuery, Want
from credentials._errors import ClientConfigurationError, UnusableAnswerError
from credentials._flow import Flow
from credentials._log import event
from credentials._observer import Work, observed_flow
from credentials._pool import ConnectionPool
from credentials._region import Region
from credentials._token_endpoint import (
    JWT_BEARER,
    Granted,
    SendFlow,
    UserAssertion,
    client_credentials_form,
    on_behalf_of_form,
    post_flow,
    process_token_response,
    refresh_form,
    refresh_token_in,
    secrets_in,
    token_request,
)
from credentials._types import AccessTokenInfo

_logger = logging.getLogger("credentials")


class ConfidentialClient:
    """Get tokens as one application, for itself or on behalf of users.

    ``region`` serves its own tokens only. ``send_flow`` sends the token requests. Raises ``ValueError`` for an empty
    ``client_id`` or a bad ``tenant_id``.
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
        region: Region | None = None,
        send_flow: SendFlow = post_flow,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        if not isinstance(client_id, str) or not client_id.strip() or not client_id.isprintable():
            raise ValueError("client_id must be the application (client) id of the app registration")
        self.tenant_id = check_tenant(tenant_id)
        self.client_id = client_id
        self.engine = engine
        self._authority = authority
        self._authentication = authentication
        self._region = region
        self._send_flow = send_flow
        self._allowed = frozenset(additionally_allowed_tenants)
        self._new_id = new_id
        self._plain_query = functools.lru_cache(maxsize=1024)(self._new_query)

    @property
    def pools(self) -> tuple[ConnectionPool, ...]:
        """The connections that end with this client: those of its own authentication, and of finding its region."""
        authentication: tuple[ConnectionPool, ...] = getattr(self._authentication, "pools", ())
        return authentication if self._region is None else (*authentication, self._region.pool)

    def query(
        self,
        scopes: tuple[str, ...],
        *,
        method: str = "get_token",
        claims: str | None = None,
        tenant_id: str | None = None,
        enable_cae: bool = False,
        label: str = "",
    ) -> TokenQuery:
        """Return a checked query; ``label`` is what the application calls the token's use.

        Raises ``ValueError`` for bad scopes and ``ClientConfigurationError`` for a tenant that is not allowed.
        """
        query = self._plain_query(check_scopes(scopes, method), tenant_id, enable_cae, label)
        return replace(query, claims=claims) if claims else query

    def key(self, query: TokenQuery, assertion: UserAssertion | None = None) -> bytes:
        """Return the cache key of a token: who, through which client, as which application, for what."""
        if assertion is None:
            return query.application
        return assertion.group + pair_key(query.application, assertion.partition)

    def fresh(self, query: TokenQuery, assertion: UserAssertion | None = None) -> AccessTokenInfo | None:
        """Return the token from the cache if nothing needs to be done about it, without any wait."""
        return None if query.claims else self.engine.fresh(self.key(query, assertion), query.label)

    def token_flow(self, query: TokenQuery, assertion: UserAssertion | None = None) -> Flow[AccessTokenInfo]:
        """Return a token for the application itself, or on behalf of the user whose assertion is given.

        Raises the errors of :mod:`credentials._errors`.
        """
        want = Want(
            key=self.key(query, assertion),
            asker=assertion.token if assertion is not None else "",
            claims=query.claims,
            refused=query.refused,
            shared=True,
            label=query.label,
        )
        return (yield from self.engine.token_flow(want, lambda: self._exchange_flow(query, assertion)))

    def begin_flow(self, query: TokenQuery, assertion: UserAssertion) -> Flow[Granted]:
        """Exchange a user's token once, for a refresh token too; nothing of it is kept here."""
        form = on_behalf_of_form(self.client_id, (*query.scopes, "offline_access"), assertion)
        return (yield from self._grant_flow(query, form, assertion))

    def redeem_flow(self, query: TokenQuery, refresh_token: str, assertion: UserAssertion) -> Flow[Granted]:
        """Redeem a refresh token of a user; the answer may have another one, which takes its place."""
        form = self._with_claims(query, refresh_form(self.client_id, query.scopes, refresh_token))
        return (yield from self._grant_flow(query, form, assertion))

    def _exchange_flow(self, query: TokenQuery, assertion: UserAssertion | None) -> Flow[AccessTokenInfo]:
        if assertion is not None and assertion.redeem is not None:
            return (yield from assertion.redeem(query))
        granted = yield from self._grant_flow(query, self._form(query, assertion), assertion)
        return granted.info

    def _grant_flow(self, query: TokenQuery, form: dict[str, str], assertion: UserAssertion | None) -> Flow[Granted]:
        grant = form["grant_type"]
        work = Work("exchange", query.label, "on_behalf_of" if grant == JWT_BEARER else grant)
        return (yield from observed_flow(self.engine.observer, work, lambda: self._ask_flow(query, form, assertion)))

    def _ask_flow(self, query: TokenQuery, form: dict[str, str], assertion: UserAssertion | None) -> Flow[Granted]:
        facts = TokenRequestFacts(
            client_id=self.client_id,
            tenant_id=query.tenant_id,
            # The central one: a region's token service takes what is meant for it, as MSAL sends it there.
            token_endpoint=self._authority.token_endpoint(query.tenant_id),
            now=self.engine.clock(),
            assertion_id=self._new_id(),
            place=query.place,
        )
        form |= yield from self._authentication.authenticate_flow(facts)
        authority = self._authority
        # After the authentication: in a chain, one that is not available is not to wait for the region too.
        if self._region is not None and assertion is None:
            authority = yield from self._region.authority_flow(authority)
        url = authority.token_endpoint(query.tenant_id)
        response = yield from self._send_flow(token_request(url, form, self._new_id()))
        requested = query.scopes if assertion is not None else ()
        try:
            info = process_token_response(
                response,
                now=self.engine.clock(),
                requested=requested,
                assertion=assertion,
                secrets=secrets_in(form),
            )
        except ClientConfigurationError as error:
            extra = event("obo.exchange.misconfigured", error)
            told = with_advice(str(error), error)
            _logger.error(
                "the application %s is not set up rightly at its provider: %s", self.client_id, told, extra=extra
            )
            raise
        except UnusableAnswerError as error:
            extra = event("obo.exchange.unusable_answer", error)
            _logger.error("an answer for the application %s is refused: %s", self.client_id, error, extra=extra)
            raise
        return Granted(info, refresh_token_in(response))

    def _form(self, query: TokenQuery, assertion: UserAssertion | None) -> dict[str, str]:
        if assertion is None:
            form = client_credentials_form(self.client_id, query.scopes)
        else:
            form = on_behalf_of_form(self.client_id, query.scopes, assertion)
        return self._with_claims(query, form)

    def _with_claims(self, query: TokenQuery, form: dict[str, str]) -> dict[str, str]:
        claims = with_capability(query.claims) if query.enable_cae else query.claims
        return form | {"claims": claims} if claims else form

    def _new_query(self, scopes: tuple[str, ...], tenant_id: str | None, enable_cae: bool, label: str) -> TokenQuery:
        tenant = resolve_tenant(self.tenant_id, tenant_id, self._allowed)
        what = (*sorted(scopes), "cae" if enable_cae else "no cae")
        application = key_of(self._authority.url, tenant, self.client_id, *what)
        return TokenQuery(scopes=scopes, tenant_id=tenant, application=application, enable_cae=enable_cae, label=label)
