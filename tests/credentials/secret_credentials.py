"""An application's credential with a secret, as the tests of it make it."""

from __future__ import annotations

from typing import Any

from obo_middleware.testing import LocalEntra
from tests.credentials.helpers import GRAPH, SECRET, Colour, local_options

SCOPE = f"{GRAPH}/.default"


def made(entra: LocalEntra, colour: Colour, **options: Any) -> Any:
    return colour.client_secret(entra.tenant_id, entra.api.client_id, SECRET, **(local_options(entra) | options))
