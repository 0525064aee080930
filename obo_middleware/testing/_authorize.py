"""Judge requests to the authorization endpoint and that of sign-out (RFC 6749 section 4.1, RFC 7636)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from ._errors import EntraError, missing_parameter
from ._grant import ClaimsRequest, WantedScopes
from ._pages import posting_page
from ._registrations import Application
from ._scopes import parse_claims, parse_scopes
from ._state import State


@dataclass(frozen=True, slots=True)
class ReturnAddress:
    """Where the answer goes: to a redirect URI, in one of three ways, with the client's state."""

    client: Application
    redirect_uri: str
    response_mode: str
    state: str | None
    spa: bool = False

    def url(self, answer: Mapping[str, str]) -> str:
        """Return the redirect URI with an answer added."""
        members = self._members(answer)
        mark = "#" if self.response_mode == "fragment" else "&" if "?" in self.redirect_uri else "?"
        return f"{self.redirect_uri}{mark}{urlencode(members)}"

    def form(self, answer: Mapping[str, str]) -> str:
        """Return a page that posts an answer to the redirect URI (OAuth 2.0 Form Post Response Mode)."""
        return posting_page(self.redirect_uri, self._members(answer))

    def _members(self, answer: Mapping[str, str]) -> dict[str, str]:
        return dict(answer) | ({} if self.state is None else {"state": self.state})


@dataclass(frozen=True, slots=True)
class SignInRequest:
    """An authorization request in order: all it needs is a user."""

    wanted: WantedScopes
    asked: ClaimsRequest
    code_challenge: str | None
    nonce: str | None


def judge_return_address(state: State, params: Mapping[str, str]) -> ReturnAddress:
    """Judge client and redirect URI; an error here is shown to the user, never sent to an unknown address."""
    client_id = _need(params, "client_id")
    client = state.apps.get(client_id)
    if client is None:
        raise EntraError(700016, f"Application with identifier '{client_id}' was not found in the directory.")
    # An address that is left out is the registered one, as with the links that ask for consent.
    uri = params.get("redirect_uri") or next(iter(client.redirect_uris), "")
    spa = uri in client.spa_redirect_uris
    if not spa and not _is_registered(client.redirect_uris, uri):
        raise EntraError(
            50011,
            f"The redirect URI '{uri}' specified in the request does not match the redirect URIs configured "
            f"for the application '{client_id}'.",
        )
    mode = params.get("response_mode", "query")
    if mode not in ("query", "fragment", "form_post"):
        raise EntraError(90023, f"The 'response_mode' '{mode}' is not supported here.")
    return ReturnAddress(client, uri, mode, params.get("state"), spa)


def judge_sign_in_request(state: State, address: ReturnAddress, params: Mapping[str, str]) -> SignInRequest:
    """Judge the rest of an authorization request; an error here goes back to the client."""
    kind = _need(params, "response_type")
    if kind != "code":
        raise EntraError(700054, f"response_type '{kind}' is not enabled for the application.")
    challenge = params.get("code_challenge")
    if challenge is None and (address.client.public or address.spa):
        raise EntraError(9002325, "Proof Key for Code Exchange is required for this application.")
    if challenge is not None and params.get("code_challenge_method") != "S256":
        raise EntraError(90023, "The 'code_challenge_method' must be 'S256'.")
    wanted = parse_scopes(state, _need(params, "scope"))
    return SignInRequest(wanted, parse_claims(params.get("claims")), challenge, params.get("nonce"))


def _need(params: Mapping[str, str], name: str) -> str:
    value = params.get(name)
    if not value:
        raise missing_parameter(name)
    return value


def _is_registered(registered: Iterable[str], uri: str) -> bool:
    return any(_matches(one, uri) for one in registered)


def may_return_to(state: State, uri: str) -> bool:
    """Tell whether a browser may be sent there after a sign-out: to the redirect URIs of the applications only."""
    apps = state.apps.values()
    return any(uri in app.spa_redirect_uris or _is_registered(app.redirect_uris, uri) for app in apps)


def _matches(registered: str, given: str) -> bool:
    """Compare exactly, but for the port of http://localhost (RFC 8252 section 7.3)."""
    if registered == given:
        return True
    one, other = urlsplit(registered), urlsplit(given)
    return (
        one.hostname == other.hostname == "localhost"
        and one.scheme == other.scheme == "http"
        and (one.path or "/") == (other.path or "/")
        and not other.username
    )
