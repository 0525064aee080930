"""DefaultAzureCredential of either colour, on a machine that has nothing unless a test gives it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest

from credentials import _managed_identity as managed_identity
from credentials._default import AsyncDefaultAzureCredential, DefaultAzureCredential
from tests.credentials.chains import AsyncOurs, Ours
from tests.credentials.helpers import Colour
from tests.credentials.identities import forget_azure

NAMES = (
    "EnvironmentCredential",
    "WorkloadIdentityCredential",
    "ManagedIdentityCredential",
    "AzureCliCredential",
    "AzurePowerShellCredential",
    "AzureDeveloperCliCredential",
)
EXCLUDE = {
    "EnvironmentCredential": "exclude_environment_credential",
    "WorkloadIdentityCredential": "exclude_workload_identity_credential",
    "ManagedIdentityCredential": "exclude_managed_identity_credential",
    "AzureCliCredential": "exclude_cli_credential",
    "AzurePowerShellCredential": "exclude_powershell_credential",
    "AzureDeveloperCliCredential": "exclude_developer_cli_credential",
}


def have_nothing(monkeypatch: pytest.MonkeyPatch, folder: Path, metadata_url: str = "http://127.0.0.1:9") -> None:
    """Take away what tests or this machine may have: variables, tools, and the real metadata service."""
    forget_azure(monkeypatch)
    for name in [name for name in os.environ if name.startswith("AZURE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(managed_identity, "IMDS_URL", metadata_url)


def default(colour: Colour, **options: Any) -> Any:
    kind: Any = DefaultAzureCredential if colour.name == "blocking" else AsyncDefaultAzureCredential
    return kind(**options)


def only(*names: str) -> dict[str, bool]:
    """Return the options that leave these members only."""
    return {option: name not in names for name, option in EXCLUDE.items()}


def names_of(credential: Any) -> list[str]:
    """Return the names of the members, as an application that imports them sees them."""
    return [credential._name_of(member).removeprefix("Async") for member in credential.credentials]


def with_members(colour: Colour, *members: Any) -> Any:
    """Return a credential that has these members in place of its own."""
    credential = default(colour)
    credential.credentials = members
    return credential


def recorders(
    monkeypatch: pytest.MonkeyPatch, colour: Colour, fail: Callable[[str], Exception | None] = lambda _: None
) -> dict[str, dict[str, Any]]:
    """Replace the members' classes by some that note how they are made; return the notes by name."""
    notes: dict[str, dict[str, Any]] = {}

    def recorder(name: str) -> type[Any]:
        class Recorder(Ours if colour.name == "blocking" else AsyncOurs):  # type: ignore[misc]  # either colour
            def __init__(self, **options: Any) -> None:
                error = fail(name)
                if error is not None:
                    raise error
                super().__init__(f"token of {name}")
                notes[name] = options

            @classmethod
            def _for_default(cls, client_id: str | None = None, **options: Any) -> Self:
                return cls(client_id=client_id, **options)

        return Recorder

    kind = DefaultAzureCredential if colour.name == "blocking" else AsyncDefaultAzureCredential
    monkeypatch.setattr(kind, "_classes", tuple(recorder(name) for name in NAMES))
    return notes
