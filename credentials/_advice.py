"""What the error numbers of Entra that on-behalf-of meets mean for whoever runs the application, and what to change.

Facts: Microsoft identity platform, "Microsoft Entra authentication and authorization error codes" and "OAuth 2.0
On-Behalf-Of flow".

Rules of this file:

1. Which error is raised, and so what the application's client gets, is decided elsewhere (``_token_endpoint``).
2. A sentence names the place: a setting of ours, or where in the Entra admin center. It is for the log and never for a
   client.
"""

from __future__ import annotations

from collections.abc import Iterable

from credentials._log import raised_from

PAGE = "docs/troubleshooting.md"
"""Where there is more about each of them, below a heading with the number."""

_SECRETS = "'Certificates & secrets' of the app registration"
_POLICY = "which stands in the sign-in log (Entra ID > Monitoring)"
_CAPABLE = "clients that declare cp1 get the claims to send the user back with"

ADVICE = {
    50013: "the user's token does not stand up to the provider: it is altered, from another cloud, or older than the "
    "keys; set authority to the cloud that issued it, and have the client fetch a new one",
    50020: "the user is not in the tenant: invite them as a guest, or let other tenants in with tenant_id="
    "'organizations' and allowed_tenants",
    50027: "the user's token is no access token that can be exchanged: have the client send the access token for this "
    "API, and not an ID token",
    50076: f"a policy wants a second factor; {_CAPABLE}, and to see which policy look into the sign-in log",
    50079: f"the user has to register a second factor; {_CAPABLE}, who then registers",
    50105: "the user is not assigned to the application: assign them in Enterprise applications > Users and groups, or "
    "set 'Assignment required' there to No",
    50158: f"a policy wants a challenge outside of Entra; {_CAPABLE}",
    50173: "the user's sign-in was revoked, as by a new password: the client has to sign the user in again",
    53000: f"a policy wants a device that complies, {_POLICY}: have the user use one, or leave the downstream API out "
    "of the policy",
    53003: f"a policy blocks the user at the downstream API, {_POLICY}: change it, or the place or device that the "
    "user comes from",
    65001: "nobody consented to these scopes for this API: grant them in 'API permissions' of the app registration, or "
    "send the user to the consent_uri of the answer",
    70011: "a scope is malformed, or .default stands beside others: correct scopes of the DownstreamApi",
    90002: "the tenant is unknown: set tenant_id to the Directory (tenant) ID, and authority to its cloud",
    240002: "an ID token was sent in place of an access token: have the client ask for a scope of this API, and send "
    "what it gets for it",
    500011: "the API that the scopes name is not in the tenant: correct the first part of scopes of the DownstreamApi, "
    "or have an administrator consent to that API",
    500131: "the user's token is for another application: set client_id to the registration that the token's aud "
    "names, or have the client ask for a scope of this one ('Expose an API')",
    500133: "the user's token has expired: have the client fetch a new one, and if it is new, set this machine's clock",
    650057: "the API is not among the permissions of the app registration: add it in 'API permissions', and consent",
    700016: "the application is not in the tenant: set client_id to the Application (client) ID, and tenant_id to the "
    "tenant where it is registered",
    700024: "the client assertion is not good at this time: set this machine's clock, or renew the token file",
    700027: f"the certificate is not the application's: upload it in {_SECRETS}, or give the one that is there in "
    "client_credential",
    700213: "no federated credential of the app registration fits the assertion: make its issuer, subject and audience "
    f"those of the token, letter for letter, in {_SECRETS}",
    7000112: "the application is disabled: enable it in Enterprise applications > Properties",
    7000215: "the secret is wrong: set client_credential to the Value of a secret, not to its Secret ID, from "
    f"{_SECRETS}",
    7000222: f"the secret has expired: make a new one in {_SECRETS}, and set client_credential to its Value",
}
"""One sentence for each AADSTS number."""

_SAME = {70021: 700213, 700211: 700213, 700212: 700213, 900023: 90002}
"""Numbers that mean what others mean."""


def advice_for(codes: Iterable[int]) -> str:
    """Return what is wrong and what to change about the first number that is known, with a link, or an empty text."""
    for code in codes:
        known = _SAME.get(code, code)
        if known in ADVICE:
            return f"{ADVICE[known]} ({PAGE}#aadsts{known})"
    return ""


def advice_in(error: BaseException | None) -> str:
    """Return the advice about an error of the provider, or about the one from which an error was raised."""
    for one in raised_from(error):
        codes = getattr(one, "error_codes", ())  # of a foreign error that may be anything
        found = advice_for(code for code in codes if isinstance(code, int)) if isinstance(codes, tuple) else ""
        if found:
            return found
    return ""


def with_advice(text: str, error: BaseException) -> str:
    """Return what is logged of an error: its text, and the advice where there is some."""
    advice = advice_in(error)
    return f"{text} What to do: {advice}" if advice else text
