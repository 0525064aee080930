"""How an application proves to the token endpoint who it is: a value of its own, apart from any grant.

Each kind gives the form fields that authenticate one token request: a secret (RFC 6749 section 2.3.1, in the
body as Microsoft Entra takes it), or a client assertion (RFC 7523 section 2.2) signed with a certificate or found
in a file. Assertions from other sources are in ``_client_assertion``.
"""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

import jwt

from credentials._certificate import Certificate, load_certificate, read_certificate_file
from credentials._errors import CredentialUnavailableError, scrub
from credentials._flow import Flow
from credentials._types import Place

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_LIFETIME = 600
"""Seconds for which a client assertion that we sign is valid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRequestFacts:
    """Hold what a client authentication needs to know of the token request that it authenticates.

    ``now`` is in seconds since the epoch, ``assertion_id`` is unique to the request (the ``jti``), and ``place`` is
    where the credential is asked.
    """

    client_id: str
    tenant_id: str
    token_endpoint: str
    now: float
    assertion_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    place: Place = Place.ALONE


class ClientAuthentication(Protocol):
    """Describe a way for the application to authenticate itself."""

    def authenticate_flow(self, facts: TokenRequestFacts) -> Flow[dict[str, str]]:
        """Return the form fields that authenticate a token request."""


class Unshared:
    """Be a value that holds a secret: it is not pickled, and a copy is the value itself."""

    __slots__ = ()

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError(f"{type(self).__name__} may hold a secret, so it is not pickled: make one where it is used")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _memo: object) -> Self:
        return self


@dataclass(frozen=True, slots=True)
class ClientSecret(Unshared):
    """Authenticate with a client secret. Raises ``ValueError`` for an empty one."""

    secret: str = field(repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.secret, str) or not self.secret.strip():
            raise ValueError("client_secret must be the secret's value, a string that is not empty")

    def authenticate_flow(self, facts: TokenRequestFacts) -> Flow[dict[str, str]]:
        """Return the secret as a form field (RFC 6749 section 2.3.1)."""
        yield from ()
        return {"client_secret": self.secret}


@dataclass(frozen=True, slots=True, init=False)
class ClientCertificate(Unshared):
    """Authenticate with assertions signed by a certificate's private key (``private_key_jwt``).

    Give the ``path`` of a PEM or PFX file, or its bytes as ``data``. ``send_certificate_chain`` puts the
    chain into the assertion's ``x5c`` header, which subject name and issuer authentication needs. Raises
    ``ValueError`` for a certificate that cannot be used.
    """

    certificate: Certificate
    send_certificate_chain: bool

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        data: bytes | str | None = None,
        password: str | bytes | None = None,
        send_certificate_chain: bool = False,
    ) -> None:
        if bool(path) == bool(data):
            raise ValueError("give either the certificate's path or its data, and not both")
        # Replaced, where half a character stands in it: an encoding error would hold the private key.
        content = data.encode(errors="replace") if isinstance(data, str) else data or read_certificate_file(str(path))
        object.__setattr__(self, "certificate", load_certificate(content, password))
        object.__setattr__(self, "send_certificate_chain", send_certificate_chain)

    def authenticate_flow(self, facts: TokenRequestFacts) -> Flow[dict[str, str]]:
        """Return a client assertion signed for this one request."""
        yield from ()
        return assertion_fields(self.sign(facts))

    def sign(self, facts: TokenRequestFacts) -> str:
        """Return a client assertion (RFC 7523 section 3): PS256, or RS256 where AD FS wants it."""
        now = int(facts.now)
        claims = {
            "aud": facts.token_endpoint,
            "iss": facts.client_id,
            "sub": facts.client_id,
            "jti": facts.assertion_id,
            "iat": now,
            "nbf": now,
            "exp": now + ASSERTION_LIFETIME,
        }
        algorithm, headers = self._header(facts.tenant_id)
        return jwt.encode(claims, self.certificate.private_key, algorithm=algorithm, headers=headers)

    def _header(self, tenant_id: str) -> tuple[str, dict[str, Any]]:
        chain = {"x5c": self.certificate.x5c()} if self.send_certificate_chain else {}
        if tenant_id.lower() == "adfs":
            return "RS256", {"x5t": self.certificate.thumbprint("sha1"), **chain}
        return "PS256", {"x5t#S256": self.certificate.thumbprint("sha256"), **chain}


@dataclass(frozen=True, slots=True)
class FileAssertion:
    """Authenticate with the assertion in a file, which is read for each request: Kubernetes renews it there."""

    path: str

    def authenticate_flow(self, facts: TokenRequestFacts) -> Flow[dict[str, str]]:
        """Return what the file holds; raises :class:`CredentialUnavailableError` if it is missing or empty."""
        yield from ()
        return assertion_fields(self())

    def __call__(self) -> str:
        """Return what the file holds, without the white space around it."""
        try:
            assertion = Path(self.path).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
        else:
            return self._checked(assertion)
        # Not where it was caught: the errors of Python hold the file's content, or the name, which may be a token.
        raise CredentialUnavailableError(f"the token file {scrub(self.path)!r} cannot be read: {reason}")

    def _checked(self, assertion: str) -> str:
        if not assertion:
            raise CredentialUnavailableError(f"the token file {self.path!r} is empty")
        return assertion


def assertion_fields(assertion: str) -> dict[str, str]:
    """Return the form fields that carry a client assertion (RFC 7523 section 2.2)."""
    return {"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}
