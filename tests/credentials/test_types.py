from __future__ import annotations

import pickle

import azure.core.credentials
import azure.core.credentials_async

import credentials
from credentials import AccessToken, AccessTokenInfo, __version__, aio
from credentials._version import USER_AGENT


def test_tokens_are_what_azure_core_expects() -> None:
    assert AccessToken("t", 5)._fields == azure.core.credentials.AccessToken._fields
    info = AccessTokenInfo("t", 5, token_type="pop", refresh_on=3)
    theirs = azure.core.credentials.AccessTokenInfo("t", 5, token_type="pop", refresh_on=3)
    names = ("token", "expires_on", "token_type", "refresh_on")
    assert [getattr(info, name) for name in names] == [getattr(theirs, name) for name in names]
    assert (AccessTokenInfo("t", 5).token_type, AccessTokenInfo("t", 5).refresh_on) == ("Bearer", None)


def test_tokens_do_not_show_themselves() -> None:
    for token in (AccessToken("s3cr3t", 5), AccessTokenInfo("s3cr3t", 5)):
        assert "s3cr3t" not in f"{token} {token!r} {[token]}"
        assert "5" in repr(token)


def test_tokens_can_be_pickled() -> None:
    for token in (AccessToken("t", 5), AccessTokenInfo("t", 5, refresh_on=3)):
        assert pickle.loads(pickle.dumps(token)) == token  # noqa: S301  # made a line above


def test_requests_name_the_library_and_its_version() -> None:
    assert USER_AGENT.startswith(f"obo-middleware/{__version__} Python/3.")


def test_type_checkers_take_our_credentials_for_azure_cores() -> None:
    # mypy reads this file too, so a type that does not fit fails there.
    blocking: list[azure.core.credentials.TokenCredential] = [
        credentials.AzureCliCredential(),
        credentials.ChainedTokenCredential(credentials.ManagedIdentityCredential()),
    ]
    awaitable: list[azure.core.credentials_async.AsyncTokenCredential] = [
        aio.AzureCliCredential(),
        aio.ChainedTokenCredential(aio.ManagedIdentityCredential()),
    ]
    assert all(isinstance(credential, azure.core.credentials.TokenCredential) for credential in blocking)
    assert all(isinstance(credential, azure.core.credentials_async.AsyncTokenCredential) for credential in awaitable)
