"""Credentials for Microsoft Entra ID, usable alone and by Azure SDK clients: the awaitable colour.

The same names, blocking, are in :mod:`credentials`; errors and values are the same classes.
"""

from __future__ import annotations

from credentials._client_credentials import AsyncClientSecretCredential as ClientSecretCredential
from credentials._on_behalf_of import AsyncOnBehalfOfCredential as OnBehalfOfCredential

for _exported in (ClientSecretCredential, OnBehalfOfCredential):
    # Representations and tracebacks show the name under which it was imported.
    _exported.__module__, _exported.__name__ = __name__, _exported.__name__.removeprefix("Async")

__all__ = ["ClientSecretCredential", "OnBehalfOfCredential"]
