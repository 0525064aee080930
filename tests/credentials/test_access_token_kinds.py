from __future__ import annotations

import copy
import pickle
import sys
from types import SimpleNamespace
from typing import Any

import azure.core.credentials
import pytest

from credentials import AccessToken, AccessTokenInfo
from credentials._colours import _access_token

INFO = AccessTokenInfo("a-secret-token", 1_800_000_000)


def test_a_token_is_azure_cores_too_where_that_is_loaded() -> None:
    """The SDK of Microsoft Graph sends a token only if it is of that class, and no token otherwise."""
    token = _access_token(INFO)
    assert isinstance(token, AccessToken)
    assert isinstance(token, azure.core.credentials.AccessToken)
    assert token == ("a-secret-token", 1_800_000_000)
    assert (token.token, token.expires_on) == token
    assert "secret" not in repr(token)
    for again in (copy.copy(token), pickle.loads(pickle.dumps(token))):  # noqa: S301  # our own bytes
        assert (type(again), again) == (AccessToken, token)


@pytest.mark.parametrize("module", [None, SimpleNamespace(), SimpleNamespace(AccessToken=object)])
def test_it_is_ours_alone_where_azure_core_is_not_or_has_another_kind(
    module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "azure.core.credentials", module)
    assert type(_access_token(INFO)) is AccessToken
