"""What every test gets: an environment without settings of the machine, and repeatable random examples."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from obo_middleware._lease import _at_hand

# Examples are the same in every run, and how long one takes fails nothing.
settings.register_profile(
    "repeatable", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("repeatable")

SETTINGS = ("AZURE_", "OBO_", "IDENTITY_", "MSI_")
CONNECTIONS = {"SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away the variables that steer credentials and connections."""
    for name in tuple(os.environ):
        if name.upper().startswith(SETTINGS) or name.upper() in CONNECTIONS:
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def nothing_at_hand() -> None:
    """Begin with no request at hand: tests share a thread, and one may leave what only its own app would end."""
    _at_hand.set(None)


@pytest.fixture
def signals() -> Iterator[None]:
    """Put back what signals do, since a command sets it."""
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(kind) for kind in kinds]
    yield
    for kind, handler in zip(kinds, before, strict=True):
        signal.signal(kind, handler)
