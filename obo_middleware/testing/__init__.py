"""An identity provider and a downstream API for development and tests, on this machine and without a network.

`LocalEntra` behaves like Microsoft Entra ID towards clients that were not written for it, `LocalGraph`
checks the tokens it gets. Both are served from threads of this process::

    with LocalEntra() as entra, LocalGraph(entra) as graph:
        token = entra.sign_in("alice")

or by `python -m obo_middleware.testing` for programs in other processes. Needs the packages `starlette` and
`uvicorn`, and `trustme` for TLS. Nothing here is fit for production: the secrets are printed on the box.

Where the double differs from Entra on purpose: a token carries the scopes that were asked for and not all that were
ever consented to; unless it is made with `interactive=True` there is no single sign-on, so that each interactive
sign-in shows the page, and signing in there consents to what is asked and proves every factor; with it, no password is
asked for, every phone shows the same code, and a browser keeps one account only; `common` knows no personal accounts;
a sign-out needs no `id_token_hint`, and may lead to the redirect URIs of any application; the token endpoint answers
preflights of registered single-page apps only; and after `revoke()` a token request without the claims of the
challenge is answered with a token the resource refuses again, so that a test sees who does not pass claims on.
"""

from __future__ import annotations

from ._controls import ENDPOINTS
from ._entra import LocalEntra
from ._errors import EntraError
from ._graph import LocalGraph
from ._judge import judge_token_request
from ._jws import SigningKey, foreign_key
from ._records import GraphRequest, TokenRequest
from ._registrations import AppCertificate, Application, AppSecret, FederatedCredential, Tenant, User

__all__ = [
    "AppCertificate",
    "AppSecret",
    "Application",
    "ENDPOINTS",
    "EntraError",
    "FederatedCredential",
    "GraphRequest",
    "LocalEntra",
    "LocalGraph",
    "SigningKey",
    "Tenant",
    "TokenRequest",
    "User",
    "foreign_key",
    "judge_token_request",
]
