"""What is registered in the directory: tenants, users, applications. Immutable; a change is a new value."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from ._jws import encode_base64url, public_key_from_jwk

TENANT_ID = "0b0a1e2d-3c4f-4a5b-8c6d-7e8f90a1b2c3"
"""The tenant every LocalEntra has."""
TENANT_DOMAIN = "contoso.example"
"""The verified domain of that tenant."""
API_CLIENT_ID = "a9100000-0000-4000-8000-000000000001"
CLIENT_CLIENT_ID = "c1100000-0000-4000-8000-000000000002"
GRAPH_CLIENT_ID = "00000003-0000-0000-c000-000000000000"
"""Microsoft Graph's own application id, the same in every tenant of the real Entra."""
GRAPH_IDENTIFIER_URI = "https://graph.microsoft.com"
API_SECRET = "local-secret-not-for-production"

_NAMES = uuid.UUID("6f1c9c54-5d53-4c63-9d0a-3d0f6a1b2c4d")


@dataclass(frozen=True, slots=True)
class Tenant:
    """A directory: its id (a GUID) and the domains it owns."""

    tenant_id: str
    domains: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class User:
    """A person who can sign in; `name` is the short name tests use."""

    name: str
    object_id: str
    tenant_id: str
    display_name: str
    user_principal_name: str

    @property
    def given_name(self) -> str:
        """Return the first word of the display name."""
        return self.display_name.split()[0]

    @property
    def surname(self) -> str:
        """Return the last word of the display name."""
        return self.display_name.split()[-1]


def make_user(name: str, tenant: Tenant, display_name: str | None = None) -> User:
    """Make a user whose object id depends on the tenant and the name only."""
    object_id = str(uuid.uuid5(_NAMES, f"user {tenant.tenant_id} {name}"))
    domain = tenant.domains[0] if tenant.domains else TENANT_DOMAIN
    return User(name, object_id, tenant.tenant_id, display_name or f"{name.capitalize()} Example", f"{name}@{domain}")


@dataclass(frozen=True, slots=True)
class AppSecret:
    """A client secret; `expires_on` is an epoch time in seconds, None for never."""

    value: str = field(repr=False)
    expires_on: float | None = None


@dataclass(frozen=True, slots=True)
class AppCertificate:
    """A certificate registered with an application, known by its thumbprints (base64url, no padding)."""

    sha1: str
    sha256: str
    public_key: rsa.RSAPublicKey = field(repr=False)

    @classmethod
    def from_pem(cls, pem: bytes) -> AppCertificate:
        """Read the first certificate of a PEM text; raise ValueError if there is none with an RSA key."""
        certificate = x509.load_pem_x509_certificate(pem)
        key = certificate.public_key()
        if not isinstance(key, rsa.RSAPublicKey):
            raise ValueError("Entra registers RSA certificates only")
        der = certificate.public_bytes(serialization.Encoding.DER)
        sha1 = encode_base64url(hashlib.sha1(der, usedforsecurity=False).digest())
        return cls(sha1, encode_base64url(hashlib.sha256(der).digest()), key)


@dataclass(frozen=True, slots=True)
class FederatedCredential:
    """Trust in a foreign issuer's tokens for one subject (workload identity federation); exact matches only.

    `keys` maps the kid of each of the issuer's keys to its JSON Web Key.
    """

    issuer: str
    subject: str
    keys: Mapping[str, Mapping[str, object]] = field(repr=False)
    audience: str = "api://AzureADTokenExchange"

    def public_key(self, kid: object) -> rsa.RSAPublicKey | None:
        """Return the issuer's key of that id, None if there is none."""
        jwk = self.keys.get(kid) if isinstance(kid, str) else None
        return None if jwk is None else public_key_from_jwk(jwk)


@dataclass(frozen=True, slots=True)
class Application:
    """An app registration with its service principal.

    `scopes` and `roles` are what this application exposes; `delegated` and `application` map the client id
    of a resource to what this application may ask of it; `token_version` is the kind of access token it
    receives (`accessTokenAcceptedVersion`, 1 or 2); `admin_consent` tells that an administrator consented to
    all of `delegated`. `spa_redirect_uris` are those of a single-page app: their origins may redeem from a browser.
    """

    name: str
    client_id: str
    secrets: tuple[AppSecret, ...] = ()
    certificates: tuple[AppCertificate, ...] = ()
    federated: tuple[FederatedCredential, ...] = ()
    identifier_uris: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    delegated: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    application: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    redirect_uris: tuple[str, ...] = ()
    spa_redirect_uris: tuple[str, ...] = ()
    public: bool = False
    token_version: int = 2
    admin_consent: bool = True

    @property
    def secret(self) -> str:
        """Return the value of the first secret; raise LookupError if it has none."""
        return self.secrets[0].value

    @property
    def object_id(self) -> str:
        """Return the object id of the service principal."""
        return str(uuid.uuid5(_NAMES, f"app {self.client_id}"))

    def pairwise_subject(self, user: User) -> str:
        """Return the `sub` this application sees for a user: another one in every application."""
        digest = hashlib.sha256(f"{self.client_id} {user.object_id}".encode()).digest()
        return encode_base64url(digest)


def default_tenant() -> Tenant:
    """Return the tenant of the demo."""
    return Tenant(TENANT_ID, (TENANT_DOMAIN,))


def default_apps(graph_identifier_uri: str) -> tuple[Application, ...]:
    """Return the three demo applications: the web API, its client, and Graph."""
    api = Application(
        "api",
        API_CLIENT_ID,
        secrets=(AppSecret(API_SECRET),),
        identifier_uris=(f"api://{API_CLIENT_ID}",),
        scopes=("access_as_user",),
        roles=("Tasks.Run",),
        delegated={GRAPH_CLIENT_ID: ("User.Read", "Mail.Read")},
        application={GRAPH_CLIENT_ID: ("User.Read.All",)},
    )
    client = Application(
        "client",
        CLIENT_CLIENT_ID,
        delegated={API_CLIENT_ID: ("access_as_user",)},
        redirect_uris=("http://localhost",),
        public=True,
    )
    graph = Application(
        "graph",
        GRAPH_CLIENT_ID,
        identifier_uris=(graph_identifier_uri,),
        scopes=("User.Read", "Mail.Read", "User.Read.All", "Files.Read"),
        roles=("User.Read.All",),
        token_version=1,
    )
    return api, client, graph
