"""Judge requests to the authorization endpoint and draw its pages (RFC 6749 section 4.1, RFC 7636)."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from ._errors import EntraError, missing_parameter
from ._grant import ClaimsRequest, WantedScopes
from ._registrations import Application, User
from ._scopes import parse_claims, parse_scopes
from ._state import State

_STYLE = "body{font:16px system-ui;max-width:30em;margin:4em auto}button{font:inherit;padding:.5em 1em}"


@dataclass(frozen=True, slots=True)
class ReturnAddress:
    """Where the answer goes: to a redirect URI, in one of three ways, with the client's state."""

    client: Application
    redirect_uri: str
    response_mode: str
    state: str | None

    def url(self, answer: Mapping[str, str]) -> str:
        """Return the redirect URI with an answer added."""
        members = self._members(answer)
        mark = "#" if self.response_mode == "fragment" else "&" if "?" in self.redirect_uri else "?"
        return f"{self.redirect_uri}{mark}{urlencode(members)}"

    def form(self, answer: Mapping[str, str]) -> str:
        """Return a page that posts an answer to the redirect URI (OAuth 2.0 Form Post Response Mode)."""
        action = html.escape(self.redirect_uri)
        body = f'<form method="post" action="{action}">{_hidden(self._members(answer))}<button>Go on</button></form>'
        return _page("Working...", body + "<script>document.forms[0].submit()</script>")

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
    client_id, uri = _need(params, "client_id"), _need(params, "redirect_uri")
    client = state.apps.get(client_id)
    if client is None:
        raise EntraError(700016, f"Application with identifier '{client_id}' was not found in the directory.")
    if not any(_matches(registered, uri) for registered in client.redirect_uris):
        raise EntraError(
            50011,
            f"The redirect URI '{uri}' specified in the request does not match the redirect URIs configured "
            f"for the application '{client_id}'.",
        )
    mode = params.get("response_mode", "query")
    if mode not in ("query", "fragment", "form_post"):
        raise EntraError(90023, f"The 'response_mode' '{mode}' is not supported here.")
    return ReturnAddress(client, uri, mode, params.get("state"))


def judge_sign_in_request(state: State, client: Application, params: Mapping[str, str]) -> SignInRequest:
    """Judge the rest of an authorization request; an error here goes back to the client."""
    kind = _need(params, "response_type")
    if kind != "code":
        raise EntraError(700054, f"response_type '{kind}' is not enabled for the application.")
    challenge = params.get("code_challenge")
    if challenge is None and client.public:
        raise EntraError(9002325, "Proof Key for Code Exchange is required for this application.")
    if challenge is not None and params.get("code_challenge_method") != "S256":
        raise EntraError(90023, "The 'code_challenge_method' must be 'S256'.")
    wanted = parse_scopes(state, _need(params, "scope"))
    if params.get("prompt") == "none":
        raise EntraError(50058, "A silent sign-in request was sent but no user is signed in.")
    return SignInRequest(wanted, parse_claims(params.get("claims")), challenge, params.get("nonce"))


def _need(params: Mapping[str, str], name: str) -> str:
    value = params.get(name)
    if not value:
        raise missing_parameter(name)
    return value


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


def login_page(tenant: str, client: Application, users: Iterable[User], params: Mapping[str, str]) -> str:
    """Draw the page that lists who may sign in; each button sends the request on with a user."""
    buttons = "".join(
        f'<p><button name="user" value="{html.escape(user.object_id)}">{html.escape(user.display_name)}'
        f" &lt;{html.escape(user.user_principal_name)}&gt;</button></p>"
        for user in users
    )
    body = (
        f"<h1>Sign in</h1><p>to <b>{html.escape(client.name)}</b>, and accept what it asks for: "
        f"{html.escape(params.get('scope', ''))}</p>"
        f'<form method="post" action="/{html.escape(tenant)}/login">{_hidden(params)}{buttons}</form>'
    )
    return _page("Sign in to LocalEntra", body)


def _hidden(members: Mapping[str, str]) -> str:
    return "".join(
        f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
        for name, value in members.items()
    )


def error_page(error: EntraError) -> str:
    """Draw the page a user sees when the request itself cannot be trusted."""
    return _page("Sign in", f"<h1>Sorry, but we're having trouble signing you in.</h1><p>{html.escape(str(error))}</p>")


def _page(title: str, body: str) -> str:
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style><body>{body}</body></html>"
    )
