"""A user's credential, as the tests of it make it."""

from __future__ import annotations

from typing import Any

from obo_middleware.testing import LocalEntra
from tests.credentials.helpers import GRAPH, SECRET, Colour, local_options

SCOPES = (f"{GRAPH}/User.Read", f"{GRAPH}/Mail.Read")


def made(entra: LocalEntra, colour: Colour, user: str = "alice", **options: Any) -> Any:
    assertion = {} if "user_assertion" in options else {"user_assertion": entra.sign_in(user)}
    proofs = {"client_secret", "client_certificate", "certificate_path", "client_assertion_func", "get_assertion"}
    proof = {} if proofs & set(options) else {"client_secret": SECRET}
    arguments = local_options(entra) | assertion | proof | options
    return colour.on_behalf_of(entra.tenant_id, entra.api.client_id, **arguments)
