"""What the log says when an application starts: with which settings it runs.

Rule of this file: a closed list of fields. None holds a secret, and no URL but that of the authority, which has none.
"""

from __future__ import annotations

import logging
from typing import Any

import cryptography
import jwt

from credentials import ClientAssertion, ClientCertificate, __version__
from credentials.kernel import ClientAuthentication, event
from obo_middleware._settings import Settings

_logger = logging.getLogger("obo_middleware")


def say_started(settings: Settings) -> None:
    """Log the settings that count, without a secret."""
    facts = configuration_of(settings)
    text = ", ".join(f"{name}={_shown(value)}" for name, value in facts.items())
    _logger.info("obo-middleware has started: %s", text, extra=event("obo.started", configuration=facts))


def configuration_of(settings: Settings) -> dict[str, Any]:
    """Return the settings that count, as values that a log can hold."""
    http = settings.http
    return {
        "tenant_id": settings.tenant_id,
        "client_id": settings.client_id,
        "client_credential": kind_of(settings.authentication),
        "authority": settings.authority_url,
        "audiences": sorted(settings.accepted_audiences),
        "downstream_apis": {name: list(api.scopes) for name, api in settings.downstream_apis.items()},
        "cache_partition": settings.cache_partition,
        "cache_size": settings.cache_size,
        "token_store": settings.store is not None,
        "enable_cae": settings.enable_cae,
        "telemetry": settings.telemetry is not None,
        "versions": {
            "obo-middleware": __version__,
            http.__name__: getattr(http, "__version__", "unknown"),
            "PyJWT": jwt.__version__,
            "cryptography": cryptography.__version__,
        },
    }


def kind_of(authentication: ClientAuthentication) -> str:
    """Return in one word how an application proves who it is."""
    if isinstance(authentication, ClientAssertion):
        return authentication.kind
    return "certificate" if isinstance(authentication, ClientCertificate) else "secret"


def _shown(value: object) -> str:
    """Return a value for people."""
    if isinstance(value, dict):
        return "; ".join(f"{name} {_shown(member)}" for name, member in value.items()) or "none"
    return " ".join(value) if isinstance(value, list) else str(value)
