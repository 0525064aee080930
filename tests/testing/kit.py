"""Requests as clients of the provider send them."""

from __future__ import annotations

import json
import signal
import ssl
import threading
from typing import Any

import httpx

from obo_middleware.testing import LocalEntra, LocalGraph, SigningKey
from obo_middleware.testing._jws import decode_base64url, parse

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
GRAPH = "https://graph.microsoft.com"
NOW = 1_800_000_000.0


class Clock:
    """A clock that moves when a test moves it."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def http_client(context: ssl.SSLContext | None = None) -> httpx.Client:
    return httpx.Client(verify=context or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), trust_env=False)


def token_url(entra: LocalEntra, tenant: str | None = None) -> str:
    return f"{entra.authority}/{tenant or entra.tenant_id}/oauth2/v2.0/token"


def secret_form(entra: LocalEntra, **fields: str) -> dict[str, str]:
    return {"client_id": entra.api.client_id, "client_secret": entra.api.secret} | fields


def client_credentials_form(entra: LocalEntra, **fields: str) -> dict[str, str]:
    return secret_form(entra, grant_type="client_credentials", scope=f"{GRAPH}/.default") | fields


def on_behalf_of_form(entra: LocalEntra, assertion: str, **fields: str) -> dict[str, str]:
    form = {"grant_type": JWT_BEARER, "requested_token_use": "on_behalf_of", "scope": f"{GRAPH}/User.Read"}
    return secret_form(entra, assertion=assertion, **form) | fields


def ask(entra: LocalEntra, http: httpx.Client, form: dict[str, str], tenant: str | None = None) -> httpx.Response:
    return http.post(token_url(entra, tenant), data=form)


def exchange(entra: LocalEntra, http: httpx.Client, assertion: str, **fields: str) -> httpx.Response:
    return ask(entra, http, on_behalf_of_form(entra, assertion, **fields))


def graph_token(entra: LocalEntra, http: httpx.Client, user: str = "alice", **fields: str) -> str:
    return access_token(exchange(entra, http, entra.sign_in(user), **fields))


def access_token(response: httpx.Response) -> str:
    return str(response.raise_for_status().json()["access_token"])


def claims_of(token: str) -> dict[str, Any]:
    return dict(parse(token).claims)


def refusal(response: httpx.Response) -> tuple[int, str, int]:
    """Return status, OAuth error and AADSTS code of a refusal."""
    document = response.json()
    (code,) = document["error_codes"]
    return response.status_code, document["error"], code


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def decoded(text: str) -> Any:
    return json.loads(decode_base64url(text))


def assertion_claims(entra: LocalEntra, **changes: Any) -> dict[str, Any]:
    """Return the claims of a client assertion by the demo API."""
    client_id = entra.api.client_id
    times = {"nbf": int(entra.clock()), "exp": int(entra.clock()) + 600}
    names = {"aud": token_url(entra), "iss": client_id, "sub": client_id, "jti": "one"}
    return names | times | changes


def assertion_form(entra: LocalEntra, proof: str, **fields: str) -> dict[str, str]:
    form = client_credentials_form(entra, client_assertion=proof, client_assertion_type=ASSERTION_TYPE)
    del form["client_secret"]
    return form | fields


def registered_key(entra: LocalEntra) -> SigningKey:
    """Return a key whose certificate is registered with the demo API."""
    key = SigningKey("certificate of the api")
    entra.add_certificate(entra.api, key.pem)
    return key


def header_of(token: str) -> dict[str, Any]:
    return dict(parse(token).header)


def get(graph: LocalGraph, http: httpx.Client, path: str, token: str) -> httpx.Response:
    return http.get(f"{graph.base_url}/{path}", headers=bearer(token))


def error_of(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


def as_itself(entra: LocalEntra, http: httpx.Client) -> str:
    return access_token(ask(entra, http, client_credentials_form(entra)))


class EndingOutput:
    """Standard output that ends the program as soon as something is written.

    Once: a second signal could come when the program has ended, and end the tests.
    """

    def __init__(self) -> None:
        self.text = ""
        self._told = False

    def isatty(self) -> bool:
        return False

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        if self._told:
            return
        self._told = True
        main = threading.main_thread().ident
        assert main is not None
        threading.Timer(0.01, signal.pthread_kill, (main, signal.SIGTERM)).start()
