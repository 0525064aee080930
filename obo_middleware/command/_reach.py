"""Checks that ask: the provider, the shared cache, and the APIs.

Rules of this file: every wait is bounded, no request carries anybody's token, and of a refusal that is shown which the
provider says, without what was sent.
"""

from __future__ import annotations

import email.utils
import functools
import urllib.parse
from collections.abc import Callable, Iterator

from credentials import AuthenticationError, ClientAuthenticationError, ProviderUnavailableError
from credentials.kernel import HttpRequest, TransportError, advice_in, scrub, send
from obo_middleware._discovery import entra_place
from obo_middleware._runtime import Runtime
from obo_middleware._shared_cache import TokenStore
from obo_middleware.errors import ConfigurationError, OboError

from ._checks import Check, Status, ok

PATIENCE = 10.0
"""Seconds that one answer may take."""
_NOTICEABLE, _TOO_FAR = 60.0, 300.0
"""Seconds that the clocks may be apart: before it is said, and before nobody's tokens fit any more."""
_GRAPH_AS_APP = "https://graph.microsoft.com/.default"
_WAY = "check authority, tenant_id, and the way there: DNS, firewall, HTTPS_PROXY, ssl_context"
_ACCEPTED = frozenset({70011, 500011, 501051, 650052, 650057, 1002012})
"""AADSTS numbers about what was asked for: who asked was accepted."""


def online_checks(runtime: Runtime) -> Iterator[tuple[str, Callable[[], Check]]]:
    """Yield what can only be told by asking, each with what to say meanwhile."""
    for name in runtime.validator.issuers:
        yield f"asking for the keys of {name}", functools.partial(provider, runtime, name)
    yield "comparing the clocks", functools.partial(clock, runtime)
    yield "asking for a token as the application", functools.partial(credential, runtime)
    if runtime.store is not None:
        yield "asking the shared cache", functools.partial(shared_cache, runtime.store)
    for name in runtime.settings.downstream_apis:
        yield f"asking {name}", functools.partial(downstream, runtime, name)


def provider(runtime: Runtime, name: str) -> Check:
    """Judge whether an issuer's metadata and keys can be had; ``name`` is an issuer, or a version of Entra's tokens."""
    label = f"provider, tokens {name}" if name in ("1.0", "2.0") else f"issuer {name}"
    try:
        metadata = runtime.blocking_driver.run(runtime.validator.issuers[name].metadata_flow())
    except ConfigurationError as error:
        return Check(name=label, status="failure", message=scrub(str(error)), fix="correct tenant_id and authority")
    except OboError as error:
        return Check(name=label, status="failure", message=scrub(str(error)), fix=_WAY)
    return ok(label, f"{metadata.issuer}, {len(metadata.keys)} keys")


def clock(runtime: Runtime) -> Check:
    """Judge this machine's clock by the provider's (RFC 9110 section 6.6.1)."""
    settings = runtime.settings
    (url,) = entra_place(settings.authority_url, settings.tenant_id, "2.0").urls
    try:
        answer = runtime.blocking_driver.run(send(HttpRequest(method="GET", url=url, timeout=PATIENCE)))
        theirs = email.utils.parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
    except (TransportError, ValueError):
        return Check(name="clock", status="skipped", message="the provider did not say what time it is")
    apart = abs(theirs - settings.clock())
    if apart <= _NOTICEABLE:
        return ok("clock", "as the provider's")
    status: Status = "failure" if apart > _TOO_FAR else "warning"
    message = f"{apart:.0f} seconds from the provider's: good tokens are refused, and ended ones accepted"
    return Check(name="clock", status=status, message=message, fix="set this machine's clock, by NTP")


def credential(runtime: Runtime) -> Check:
    """Judge whether the provider accepts the client credential, by a token for the application itself."""
    settings = runtime.settings
    if settings.many_tenants:
        return Check(name="sign-in of the app", status="skipped", message="tenant_id names no tenant to ask in")
    apis = list(settings.downstream_apis.values())
    scopes = tuple(apis[0].app_scopes) if apis else (_GRAPH_AS_APP,)
    try:
        runtime.blocking_driver.run(runtime.client.token_flow(runtime.client.query(scopes)))
    except ProviderUnavailableError as error:
        return _refused("failure", str(error), _WAY)
    except AuthenticationError as error:
        codes = set(error.error_codes)
        if codes & _ACCEPTED:
            return _refused("warning", f"accepted, but not for {scopes[0]}: {error}", "needed for app_client only")
        return _refused("failure", str(error), advice_in(error) or _UNKNOWN)
    except ClientAuthenticationError as error:
        return _refused("failure", str(error), "see the check of client_credential above")
    return ok("sign-in of the app", "the provider accepts the client credential")


_UNKNOWN = "look the AADSTS number up at https://login.microsoftonline.com/error"


def _refused(status: Status, message: str, fix: str) -> Check:
    return Check(name="sign-in of the app", status=status, message=scrub(message), fix=fix)


def shared_cache(store: TokenStore) -> Check:
    """Judge whether the shared cache is there, and takes our password and keys."""
    try:
        down = store.check()
    except ConfigurationError as error:
        return Check(name="token_store", status="failure", message=scrub(str(error)), fix="correct it in token_store")
    if down:
        fix = "start it, or correct host and port in token_store; requests go on without it, each worker for itself"
        return Check(name="token_store", status="failure", message=f"it cannot be reached ({down})", fix=fix)
    return ok("token_store", "reached, with the right password and keys")


def downstream(runtime: Runtime, name: str) -> Check:
    """Judge whether an API can be reached; what it answers to nobody is of no interest."""
    url = runtime.settings.downstream_apis[name].base_url
    label, host = f"downstream_apis[{name}]", urllib.parse.urlsplit(url).netloc
    try:
        answer = runtime.blocking_driver.run(send(HttpRequest(method="GET", url=url, timeout=PATIENCE)))
    except TransportError as error:
        fix = "correct base_url, or the way there: DNS, firewall, HTTPS_PROXY, ssl_context"
        return Check(name=label, status="failure", message=f"{host} cannot be reached: {error}", fix=fix)
    return ok(label, f"{host} answers ({answer.status})")
