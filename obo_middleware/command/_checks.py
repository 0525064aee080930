"""Checks that ask nobody: what the settings themselves tell, and what is in the files that they name.

Rule of this file: a check judges and says what to change; it never says what a secret or a token is.
"""

from __future__ import annotations

import datetime
import urllib.parse
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Literal

from credentials import ClientAssertion, ClientCertificate, ClientSecret, CredentialUnavailableError
from credentials.kernel import FileAssertion, is_loopback, parse_object
from obo_middleware._settings import Settings
from obo_middleware._token import decode_segment

Status = Literal["ok", "warning", "failure", "skipped"]
_SOON = datetime.timedelta(days=30)
_EXCHANGE = "AzureADTokenExchange"
_GRAPH = "graph.microsoft.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Say how one thing stands, and what to change if it does not stand well."""

    name: str
    status: Status
    message: str
    fix: str = ""

    def document(self) -> dict[str, str]:
        """Return the same for machines."""
        return asdict(self)


def ok(name: str, message: str) -> Check:
    """Return a check that found nothing wrong."""
    return Check(name=name, status="ok", message=message)


def offline_checks(settings: Settings) -> Iterator[Check]:
    """Yield what can be told without asking anybody."""
    yield ok("settings", f"tenant {settings.tenant_id}, client {settings.client_id}")
    yield audiences(settings)
    yield from local_issuer(settings)
    yield client_credential(settings)
    yield from resources(settings)


def audiences(settings: Settings) -> Check:
    """Judge which tokens are accepted: those of this very registration should be."""
    accepted = settings.accepted_audiences
    if not {settings.client_id, f"api://{settings.client_id}"}.isdisjoint(accepted):
        return ok("audiences", ", ".join(sorted(accepted)))
    return Check(
        name="audiences",
        status="warning",
        message=f"neither client_id nor api://client_id is among them: {', '.join(sorted(accepted))}",
        fix="give in audiences the aud of your clients' tokens, as obo-middleware inspect shows it, or leave it out",
    )


def local_issuer(settings: Settings) -> Iterator[Check]:
    """Judge whether the permission for a provider on this machine is needed."""
    if not settings.allow_local_issuer:
        return
    host = urllib.parse.urlsplit(settings.authority_url).hostname or ""
    if is_loopback(host):
        yield Check(name="authority", status="warning", message=f"{host} is this machine: for development only")
        return
    yield Check(
        name="authority",
        status="warning",
        message=f"allow_local_issuer is set, but {host} is no provider on this machine",
        fix="take allow_local_issuer (OBO_ALLOW_LOCAL_ISSUER) out",
    )


def client_credential(settings: Settings) -> Check:
    """Judge what the application proves itself with, as far as that can be seen from here."""
    own = settings.authentication
    if isinstance(own, ClientSecret):
        return ok("client_credential", "a secret")
    if isinstance(own, ClientCertificate):
        return certificate(own.certificate.chain[0], settings.clock())
    if isinstance(own, ClientAssertion) and isinstance(own.callback, FileAssertion):
        return token_file(own.callback, settings.clock())
    return ok("client_credential", f"a {type(own).__name__}")


def certificate(der: bytes, now: float) -> Check:
    """Judge a certificate's dates."""
    from cryptography import x509  # late: an app with a secret does without

    found, moment = x509.load_der_x509_certificate(der), datetime.datetime.fromtimestamp(now, tz=datetime.UTC)
    begin, end = found.not_valid_before_utc, found.not_valid_after_utc
    renew = (
        "make a new one, upload it under 'Certificates & secrets' of the registration, and give it in client_credential"
    )
    if moment >= end:
        return _flaw(f"the certificate ended on {end:%Y-%m-%d}", renew)
    if moment < begin:
        return _flaw(f"the certificate begins on {begin:%Y-%m-%d}", "set this machine's clock, or wait")
    if end - moment < _SOON:
        return _flaw(f"the certificate ends on {end:%Y-%m-%d}", renew, "warning")
    return ok("client_credential", f"a certificate, good until {end:%Y-%m-%d}")


def token_file(source: FileAssertion, now: float) -> Check:
    """Judge a federated token's file, and the token's end and audience; whether it is trusted the provider knows."""
    try:
        claims = parse_object(decode_segment(source().split(".")[1]))
    except CredentialUnavailableError as error:
        return _flaw(str(error), "mount the projected token there, or correct AZURE_FEDERATED_TOKEN_FILE")
    except (IndexError, ValueError):
        fix = "put a token of the issuer that the registration trusts there"
        return _flaw("what the token file has is no JWT", fix)
    end = claims.get("exp")
    if isinstance(end, int | float) and end <= now:
        fix = "find out why nobody renews it: Kubernetes does, for a projected volume"
        return _flaw("the token in the token file has ended", fix)
    audience = claims.get("aud")
    named = audience if isinstance(audience, list) else [audience]
    if not any(_EXCHANGE in str(one) for one in named):
        fix = f"project the token with the audience api://{_EXCHANGE}, which the federated credential names too"
        return _flaw("the token in the token file is for another audience", fix)
    return ok("client_credential", "a token file, with a token that is good now")


def _flaw(message: str, fix: str, status: Status = "failure") -> Check:
    return Check(name="client_credential", status=status, message=message, fix=fix)


def resources(settings: Settings) -> Iterator[Check]:
    """Judge whether the scopes of an API belong to its address, as far as Graph is concerned."""
    for name, api in settings.downstream_apis.items():
        host = urllib.parse.urlsplit(api.base_url).hostname or ""
        of_graph = [scope for scope in api.scopes if "://" not in scope or f"://{_GRAPH}" in scope]
        if of_graph and host != _GRAPH and not is_loopback(host):
            yield Check(
                name=f"downstream_apis[{name}]",
                status="warning",
                message=f"{', '.join(of_graph)} is of Microsoft Graph, but base_url is at {host}",
                fix="write the scope of your own API as api://<its client id>/<scope>; a name alone is one of Graph",
            )
