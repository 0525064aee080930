"""Draw the pages that people see at LocalEntra. Everything that came in is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping

from ._errors import EntraError
from ._registrations import Application, User

ONE_TIME_CODE = "246810"
"""What the phone of every user shows: LocalEntra's second factor."""

_DESCRIPTIONS = {
    "User.Read": "Sign you in and read your profile",
    "User.Read.All": "Read all users' full profiles",
    "Mail.Read": "Read your mail",
    "Files.Read": "Read your files",
    "access_as_user": "Access this API as you",
}
_STYLE = """
:root{color-scheme:light dark;--page:#eef1f6;--card:#fff;--ink:#1b2330;--soft:#55607a;--line:#d5dbe6;--accent:#1f5fbf;
--on:#fff;--tile:#f6f8fb;--bad:#a4262c}
@media (prefers-color-scheme:dark){:root{--page:#12161d;--card:#1b212b;--ink:#eef1f6;--soft:#a9b4c8;--line:#364154;
--accent:#8ab4f8;--on:#10151d;--tile:#222a36;--bad:#ff9a9e}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1rem;background:var(--page);color:var(--ink);
font:16px/1.5 system-ui,sans-serif}
main{width:100%;max-width:27rem;padding:2rem;background:var(--card);border:1px solid var(--line);border-radius:14px;
box-shadow:0 12px 32px rgb(20 30 60/.10)}
.brand{display:flex;gap:.6rem;align-items:center;margin:0 0 1.2rem;color:var(--soft);font-size:.9rem;font-weight:600}
.brand span{width:1.1rem;height:1.1rem;border-radius:5px;background:linear-gradient(135deg,var(--accent),#38b6a0)}
h1{margin:0 0 .35rem;font-size:1.45rem;line-height:1.25}
p{margin:0 0 1rem;color:var(--soft)}b{color:var(--ink)}
button{font:inherit;cursor:pointer;border-radius:9px;border:1px solid var(--line);background:var(--tile);
color:var(--ink)}
button:hover{border-color:var(--accent)}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
.who{display:flex;gap:.85rem;align-items:center;width:100%;margin:0 0 .6rem;padding:.7rem .8rem;text-align:left}
.who i{flex:none;display:grid;place-items:center;width:2.4rem;height:2.4rem;border-radius:50%;background:var(--accent);
color:var(--on);font-style:normal;font-weight:600}
.who span{min-width:0;overflow-wrap:anywhere}
.who small{display:block;color:var(--soft);overflow-wrap:anywhere}
ul{margin:0 0 1.2rem;padding:0;list-style:none;border-top:1px solid var(--line)}
li{padding:.65rem 0;border-bottom:1px solid var(--line)}li small{display:block;color:var(--soft);overflow-wrap:anywhere}
label{display:block;margin:0 0 .35rem;font-weight:600}
input[type=text]{width:100%;padding:.6rem .75rem;font:inherit;letter-spacing:.15em;color:var(--ink);
background:var(--card);border:1px solid var(--soft);border-radius:9px}
.row{display:flex;flex-wrap:wrap;gap:.6rem;justify-content:flex-end;margin-top:1.2rem}
.row button{padding:.55rem 1.3rem}.row .go{background:var(--accent);border-color:var(--accent);color:var(--on)}
.bad{color:var(--bad)}.note{margin:1.2rem 0 0;padding-top:1rem;border-top:1px solid var(--line);font-size:.85rem}
"""
_NOTE = '<p class="note">LocalEntra, an identity provider for development. No password is asked for.</p>'


def login_page(tenant: str, client: Application, users: Iterable[User], params: Mapping[str, str]) -> str:
    """Draw the page that lists who may sign in; each button sends the request on with a user."""
    buttons = "".join(
        f'<button class="who" name="user" value="{html.escape(user.object_id)}">'
        f'<i aria-hidden="true">{html.escape(user.display_name[:1])}</i><span>{html.escape(user.display_name)}'
        f"<small>{html.escape(user.user_principal_name)}</small></span></button>"
        for user in users
    )
    body = f"<h1>Pick an account</h1><p>to continue to <b>{html.escape(client.name)}</b></p>"
    return _page("Sign in to LocalEntra", body + _form(tenant, params, buttons) + _NOTE)


def second_factor_page(tenant: str, user: User, params: Mapping[str, str], *, wrong: bool) -> str:
    """Draw the page that asks for the code on the user's phone; `wrong` tells that the last one was not it."""
    said = '<p class="bad" id="said" role="alert">That code is not right. Try again.</p>' if wrong else ""
    described = ' aria-describedby="said" aria-invalid="true"' if wrong else ""
    field = (
        f'{said}<label for="otc">Code</label><input type="text" id="otc" name="otc" inputmode="numeric" required '
        f'autofocus autocomplete="one-time-code" maxlength="6"{described}>'
        '<div class="row"><button class="go">Verify</button></div>'
    )
    body = (
        f"<h1>Enter code</h1><p>{html.escape(user.user_principal_name)}: your organisation asks for a second factor. "
        f"Enter the code that your phone shows.</p>{_form(tenant, params, field)}"
        f'<p class="note">There is no phone here: the code is <b>{ONE_TIME_CODE}</b>.</p>'
    )
    return _page("Enter code", body)


def consent_page(
    tenant: str, client: Application, user: User, wanted: tuple[Application, Iterable[str]], params: Mapping[str, str]
) -> str:
    """Draw the page that lists what an application asks for; `wanted` is a resource and the names of scopes there."""
    resource, names = wanted
    scopes = "".join(
        f"<li>{html.escape(_DESCRIPTIONS.get(name, name))}<small>{html.escape(f'{resource.name}: {name}')}</small></li>"
        for name in names
    )
    choice = (
        '<div class="row"><button name="consent" value="cancel">Cancel</button>'
        '<button class="go" name="consent" value="accept">Accept</button></div>'
    )
    body = (
        f"<h1>Permissions requested</h1><p><b>{html.escape(client.name)}</b> would like to do this for "
        f"{html.escape(user.user_principal_name)}:</p><ul>{scopes}</ul>{_form(tenant, params, choice)}"
    )
    return _page("Permissions requested", body)


def signed_out_page() -> str:
    """Draw the page at the end of a sign-out that goes nowhere else."""
    return _page("Signed out", "<h1>You signed out of your account</h1><p>You can close this page.</p>")


def posting_page(action: str, members: Mapping[str, str]) -> str:
    """Draw a page that posts an answer to an address (OAuth 2.0 Form Post Response Mode)."""
    body = f'<form method="post" action="{html.escape(action)}">{_hidden(members)}<button>Go on</button></form>'
    return _page("Working...", body + "<script>document.forms[0].submit()</script>")


def error_page(error: EntraError) -> str:
    """Draw the page a user sees when the request itself cannot be trusted."""
    return _page("Sign in", f"<h1>Sorry, but we're having trouble signing you in.</h1><p>{html.escape(str(error))}</p>")


def _form(tenant: str, params: Mapping[str, str], content: str) -> str:
    return f'<form method="post" action="/{html.escape(tenant)}/login">{_hidden(params)}{content}</form>'


def _hidden(members: Mapping[str, str]) -> str:
    return "".join(
        f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
        for name, value in members.items()
    )


def _page(title: str, body: str) -> str:
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f'<style>{_STYLE}</style><body><main><div class="brand"><span></span>LocalEntra</div>{body}</main></body>'
        "</html>"
    )
