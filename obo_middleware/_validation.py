"""Validate a bearer token: from its text to the user whose it is.

Facts: RFC 7515, RFC 7519, RFC 8725 and its revision (best practices), RFC 9068, Microsoft identity platform
"Access tokens" and "Secure applications and APIs by validating claims".

Rules of this file:

1. Cheap refusals come first: size, alphabet, header, issuer, audience, time. Only then keys are looked up and
   RSA is verified.
2. Every refusal is :class:`InvalidTokenError`; its text is for the log. Decisions that the client may tell
   apart (a missing scope) are taken from verified claims only.
3. Nothing in a token decides where a key comes from; a token that tries (``jku``, ``x5u``, ``x5c``, ``jwk``)
   is refused. ``iss`` only chooses among the issuers of the settings.
4. PyJWT verifies the signature, by the algorithm of the key and not by that of the header.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from credentials.kernel import ExpiringCache, Flow, Observer, UserAssertion, user_group
from obo_middleware._claims import (
    check_audience,
    check_foreign_shape,
    check_issuer,
    check_shape,
    check_times,
    is_app_only,
    is_foreign_app_only,
    is_member,
    partition_of,
)
from obo_middleware._discovery import TEMPLATE, Place, entra_place, may_issue, trusted_place
from obo_middleware._keys import SigningKey
from obo_middleware._metadata import KEYS_LIVE, Issuer
from obo_middleware._settings import Settings
from obo_middleware._token import ParsedToken, check_header, parse_token
from obo_middleware._trusted_issuer import TrustedIssuer
from obo_middleware._user import User, user_from_claims, user_of_issuer
from obo_middleware.errors import InsufficientScopeError, InvalidTokenError

_REMEMBERED = 10_000


class Validated(NamedTuple):
    """Hold a valid token's user, and the assertion to exchange for them.

    ``good_until``, in seconds since the epoch, is when to validate it again: at its end, or when the keys are old.
    ``refusal`` says why its bearer may not call this API nevertheless, or is empty. ``exchangeable`` is False for a
    token that the authority did not issue, and must not see.
    """

    user: User
    assertion: UserAssertion
    good_until: float
    refusal: str = ""
    exchangeable: bool = True


class Profile(Protocol):
    """Describe the rules for the tokens of one issuer, and the issuer with its keys."""

    issuer: Issuer
    exchangeable: bool

    def check(self, parsed: ParsedToken, issuer: str) -> None:
        """Raise :class:`InvalidTokenError` unless the claims are those of a token for this API from that issuer."""

    def user(self, claims: Mapping[str, Any]) -> User:
        """Return the user that checked claims describe."""

    def refusal(self, claims: Mapping[str, Any], user: User) -> str:
        """Return why the bearer of a valid token may not call this API, or an empty text."""

    def partition(self, token: str, claims: Mapping[str, Any]) -> bytes:
        """Return what keeps the user's downstream tokens apart from everybody else's."""


class TokenValidator:
    """Validate the tokens of one API; safe for threads and tasks at once."""

    def __init__(self, settings: Settings, observer: Observer | None = None) -> None:
        self._settings = settings
        self._observer = observer
        self._authority = settings.authority_url
        self._remembered: ExpiringCache[bytes, Validated] = ExpiringCache(
            size=_REMEMBERED, until=lambda valid: valid.good_until, clock=settings.clock
        )
        self._entra: dict[str, Profile] = {
            version: EntraProfile(settings, self._issuer(entra_place(self._authority, settings.tenant_id, version)))
            for version in sorted(settings.token_versions)
        }
        self._trusted: dict[str, Profile] = {
            trusted.issuer: TrustedProfile(settings, trusted, self._issuer(trusted_place(trusted)))
            for trusted in settings.issuers
        }
        self.issuers = {name: profile.issuer for name, profile in (self._entra | self._trusted).items()}

    def remembered(self, header: bytes) -> Validated | None:
        """Return what the token in this very header was found to be, if it was validated and is still good; no I/O.

        Only the usual spelling of a header is remembered, so that one token cannot take many places.
        """
        return self._remembered.get(header)

    def validate_flow(self, token: str) -> Flow[Validated]:
        """Return the token's user.

        Raises :class:`InvalidTokenError`, :class:`UpstreamUnavailableError` if the keys cannot be had, and
        :class:`ConfigurationError`.
        """
        header = b"Bearer " + token.encode()
        valid = self._remembered.get(header)
        if valid is not None:
            return valid
        parsed = parse_token(token)
        profile = self._profile_for(parsed.claims)
        issuer = profile.issuer
        check_header(parsed.header, issuer.algorithms)
        metadata = yield from issuer.metadata_flow()
        profile.check(parsed, metadata.issuer)
        name = (parsed.header["kid"], parsed.header["alg"])
        key = yield from issuer.key_flow(name)
        keys = issuer.metadata or metadata
        check_signature(parsed, key)
        # A withdrawn key must not live on in what is remembered, so that is no older than the keys may be.
        valid = _validated(profile, token, parsed.claims, keys.fetched_at + KEYS_LIVE)
        self._remembered.put(header, valid)
        # Another thread may have renewed the keys, and cleared what was remembered, since this one got its key.
        if (issuer.metadata or metadata).keys.get(name) != key:
            self._remembered.discard(header)
        return valid

    def check(self, valid: Validated) -> None:
        """Raise :class:`InsufficientScopeError` if the bearer of a valid token may not call this API nevertheless."""
        if valid.refusal:
            raise InsufficientScopeError(valid.refusal, scopes=self._settings.required_scopes)

    def forget(self, group: bytes) -> None:
        """Validate a user's tokens anew when they come again; without a group, everybody's."""
        self._remembered.discard_where(lambda _, valid: not group or valid.assertion.group == group)

    def _issuer(self, place: Place) -> Issuer:
        return Issuer(
            place,
            clock=self._settings.clock,
            on_change=self._remembered.clear,
            public_only=self._settings.refuse_private_addresses,
            observer=self._observer,
        )

    def _profile_for(self, claims: Mapping[str, Any]) -> Profile:
        """Return the rules for a token, chosen by ``iss``, and for Entra's tokens by ``ver``."""
        issuer, version = claims.get("iss"), claims.get("ver")
        if not isinstance(issuer, str):
            raise InvalidTokenError("the claim iss is missing", reason="issuer")
        profile = self._trusted.get(issuer)
        if profile is not None:
            return profile
        # Before the provider is asked for its metadata: nobody makes us fetch by naming another issuer.
        if not may_issue(self._authority, issuer):
            raise InvalidTokenError("the claim iss is no issuer of the settings", reason="issuer")
        profile = self._entra.get(version) if isinstance(version, str) else None
        if profile is None:
            raise InvalidTokenError("the claim ver is not an accepted token version", reason="version")
        return profile


class EntraProfile:
    """Hold the rules for Entra's tokens of one version."""

    exchangeable = True

    def __init__(self, settings: Settings, issuer: Issuer) -> None:
        self.issuer = issuer
        self._settings = settings

    def check(self, parsed: ParsedToken, issuer: str) -> None:
        """Raise :class:`InvalidTokenError` unless the claims are those of Entra's access token for this API."""
        settings, claims = self._settings, parsed.claims
        check_issuer(claims, issuer, settings)
        check_times(claims, settings.clock(), settings.max_token_life)
        check_audience(claims, settings.accepted_audiences, lists=False)
        check_shape(claims)

    def user(self, claims: Mapping[str, Any]) -> User:
        """Return the user that checked claims describe."""
        return user_from_claims(claims)

    def refusal(self, claims: Mapping[str, Any], user: User) -> str:
        """Return why the bearer of a valid token may not call this API, or an empty text."""
        settings = self._settings
        if is_app_only(claims):
            return _NO_USER
        if settings.allowed_clients and user.client_id not in settings.allowed_clients:
            return f"the client {user.client_id!r} is not among allowed_clients"
        if not settings.allow_guests and not is_member(claims):
            return _GUEST if "acct" in claims else _NOT_SAID
        return _missing_scope(user, settings)

    def partition(self, token: str, claims: Mapping[str, Any]) -> bytes:
        """Return what keeps the user's downstream tokens apart from everybody else's."""
        return partition_of(token, claims, self._settings.cache_partition)


class TrustedProfile:
    """Hold the rules for the tokens of another issuer."""

    exchangeable = False

    def __init__(self, settings: Settings, trusted: TrustedIssuer, issuer: Issuer) -> None:
        self.issuer = issuer
        self._settings = settings
        self._trusted = trusted

    def check(self, parsed: ParsedToken, issuer: str) -> None:
        """Raise :class:`InvalidTokenError` unless the claims are those of the issuer's access token for this API."""
        # ``iss`` is this issuer's, letter for letter: these rules were chosen by it.
        settings, trusted, claims = self._settings, self._trusted, parsed.claims
        check_times(claims, settings.clock(), settings.max_token_life)
        check_audience(claims, trusted.audiences, lists=not trusted.strict_audience)
        check_foreign_shape(parsed, trusted)

    def user(self, claims: Mapping[str, Any]) -> User:
        """Return the user that checked claims describe."""
        return user_of_issuer(claims, self._trusted)

    def refusal(self, claims: Mapping[str, Any], user: User) -> str:
        """Return why the bearer of a valid token may not call this API, or an empty text."""
        allowed = self._trusted.allowed_clients
        if is_foreign_app_only(claims, self._trusted):
            return _NO_USER
        if allowed and user.client_id not in allowed:
            return f"the client {user.client_id!r} is not among the issuer's allowed_clients"
        return _missing_scope(user, self._settings)

    def partition(self, token: str, claims: Mapping[str, Any]) -> bytes:
        """Return the token's own partition: which claims of this issuer make a session is not known."""
        return partition_of(token, claims, "assertion")


_NO_USER = "the token is an application's own, but the route is for users"
_GUEST = "the user is a guest of the tenant, and allow_guests is False"
_NOT_SAID = (
    "allow_guests is False, and the token does not say whether its user is a guest: "
    "add the optional claim acct to the access tokens in the API's registration"
)


def _missing_scope(user: User, settings: Settings) -> str:
    return "" if user.scopes.issuperset(settings.required_scopes) else "the token lacks a required scope"


def _validated(profile: Profile, token: str, claims: Mapping[str, Any], keys_until: float) -> Validated:
    user = profile.user(claims)
    partition = profile.partition(token, claims)
    return Validated(
        user=user,
        assertion=UserAssertion(
            token=token,
            partition=partition,
            object_id=user.object_id,
            tenant_id=user.tenant_id,
            group=user_group(user.tenant_id, user.object_id),
        ),
        good_until=min(float(user.expires_on), keys_until),
        # Judged once, so that a token that is remembered costs no second look.
        refusal=profile.refusal(claims, user),
        exchangeable=profile.exchangeable,
    )


def check_signature(parsed: ParsedToken, key: SigningKey | None) -> None:
    """Raise :class:`InvalidTokenError` unless the issuer's key signed the token."""
    if key is None:
        raise InvalidTokenError("the key is not one of the issuer's", reason="unknown_key")
    claims = parsed.claims
    if key.issuer is not None and key.issuer.replace(TEMPLATE, str(claims.get("tid"))) != claims["iss"]:
        raise InvalidTokenError("the key belongs to another issuer", reason="unknown_key")
    if not key.verifies(parsed.signing_input, parsed.signature):
        raise InvalidTokenError("the signature is wrong", reason="signature")
