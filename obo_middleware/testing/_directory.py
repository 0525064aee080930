"""Who and what is registered with LocalEntra, and how a test registers more."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from ._jws import POOL, SigningKey
from ._provider import Provider
from ._registrations import (
    API_CLIENT_ID,
    CLIENT_CLIENT_ID,
    GRAPH_CLIENT_ID,
    TENANT_ID,
    AppCertificate,
    Application,
    AppSecret,
    Tenant,
    User,
    make_user,
)
from ._state import State


class Directory:
    """The part of LocalEntra that registers tenants, users and applications."""

    _state: State
    _provider: Provider
    _issued: list[SigningKey]

    @property
    def tenant_id(self) -> str:
        """Return the id of the first tenant."""
        return TENANT_ID

    @property
    def users(self) -> dict[str, User]:
        """Return the users by their short names."""
        with self._provider.lock:
            return {user.name: user for user in self._state.users.values()}

    @property
    def alice(self) -> User:
        """Return the first demo user."""
        return self.users["alice"]

    @property
    def bob(self) -> User:
        """Return the second demo user."""
        return self.users["bob"]

    @property
    def api(self) -> Application:
        """Return the demo web API: a confidential client of Graph with one scope, `access_as_user`."""
        return self.app(API_CLIENT_ID)

    @property
    def client(self) -> Application:
        """Return the demo client: a public application that may call the API."""
        return self.app(CLIENT_CLIENT_ID)

    @property
    def graph(self) -> Application:
        """Return the registration of Graph."""
        return self.app(GRAPH_CLIENT_ID)

    def app(self, client_id: str) -> Application:
        """Return an application as registered now; raise KeyError."""
        with self._provider.lock:
            return self._state.apps[client_id]

    def add_tenant(self, tenant_id: str | None = None, *domains: str) -> Tenant:
        """Register one more tenant; without an id, with a random one."""
        tenant = Tenant(tenant_id or str(uuid.uuid4()), domains)
        with self._provider.lock:
            self._state.tenants[tenant.tenant_id] = tenant
        return tenant

    def add_user(self, name: str, *, display_name: str | None = None, tenant: Tenant | None = None) -> User:
        """Register a user; the object id depends on the tenant and the name only."""
        with self._provider.lock:
            user = make_user(name, tenant or self._state.tenants[TENANT_ID], display_name)
            self._state.users[user.object_id] = user
        return user

    def register_app(
        self,
        name: str,
        *,
        client_id: str | None = None,
        secret: str | None = None,
        permissions: Mapping[str, Iterable[str]] | None = None,
        app_permissions: Mapping[str, Iterable[str]] | None = None,
        **fields: Any,
    ) -> Application:
        """Register an application; `fields` are those of `Application`.

        `permissions` (delegated) and `app_permissions` map a resource, by client id or identifier URI, to
        names. Raise LookupError for an unknown resource, TypeError for an unknown field.
        """
        identifier = client_id or str(uuid.uuid4())
        secrets = () if secret is None else (AppSecret(secret),)
        defaults: dict[str, Any] = {"secrets": secrets, "identifier_uris": (f"api://{identifier}",)}
        with self._provider.lock:
            defaults["delegated"] = self._by_client_id(permissions)
            defaults["application"] = self._by_client_id(app_permissions)
            app = Application(name, identifier, **(defaults | fields))
            self._state.apps[identifier] = app
        return app

    def _by_client_id(self, permissions: Mapping[str, Iterable[str]] | None) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for identifier, names in (permissions or {}).items():
            resource = self._state.resource(identifier)
            if resource is None:
                raise LookupError(f"no resource {identifier!r} is registered here")
            found[resource.client_id] = tuple(names)
        return found

    def update_app(self, app: Application, **changes: Any) -> Application:
        """Change fields of a registration; return the new value (the old one stays as it was)."""
        with self._provider.lock:
            changed = dataclasses.replace(self._state.apps[app.client_id], **changes)
            self._state.apps[app.client_id] = changed
        return changed

    def add_certificate(self, app: Application, pem: bytes) -> Application:
        """Register the first certificate of a PEM text with an application."""
        present = self.app(app.client_id).certificates
        return self.update_app(app, certificates=(*present, AppCertificate.from_pem(pem)))

    def issue_certificate(self, app: Application) -> bytes:
        """Make a key and a certificate, register it with an application, and return both as PEM."""
        key = POOL.borrow()
        self._issued.append(key)
        self.add_certificate(app, key.pem)
        return key.pem

    def add_secret(self, app: Application, value: str, *, expires_on: float | None = None) -> Application:
        """Register one more secret, which may expire (epoch seconds)."""
        present = self.app(app.client_id).secrets
        return self.update_app(app, secrets=(*present, AppSecret(value, expires_on)))
