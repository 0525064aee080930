"""Call other APIs as the signed-in user: on-behalf-of middleware for ASGI and WSGI apps.

The middleware is in :mod:`obo_middleware.asgi` and :mod:`obo_middleware.wsgi`, the adapters in
:mod:`obo_middleware.fastapi` and :mod:`obo_middleware.flask`, a local identity provider in
:mod:`obo_middleware.testing`.
"""

from __future__ import annotations

from obo_middleware._own_credentials import check_credentials_package

check_credentials_package()

# Only now: an import of another package of that name would run a stranger's code.
from credentials import ClientAssertion, ClientCertificate, ClientSecret
from credentials import __version__ as __version__
from obo_middleware._on_behalf_of import OnBehalfOf
from obo_middleware._sessions import Session
from obo_middleware._settings import DownstreamApi, ProtectedResource, Settings, TrustedIssuer
from obo_middleware._user import User
from obo_middleware.errors import ConfigurationError, OboError

__all__ = [
    "ClientAssertion",
    "ClientCertificate",
    "ClientSecret",
    "ConfigurationError",
    "DownstreamApi",
    "OboError",
    "OnBehalfOf",
    "ProtectedResource",
    "Session",
    "Settings",
    "TrustedIssuer",
    "User",
]
