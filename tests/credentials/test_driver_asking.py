"""Foreign credentials: asked by the method that tells more, in either colour, and within bounds."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from credentials import AccessToken, AccessTokenInfo
from credentials import _drivers as drivers
from credentials._flow import ask, call
from credentials._types import TokenRequestOptions
from tests.credentials.helpers import Drive

INFO = AccessTokenInfo("told-more", 5000, token_type="pop", refresh_on=4000)
OPTIONS: TokenRequestOptions = {"claims": "{}", "tenant_id": "other", "enable_cae": True}


class Telling:
    """A credential that tells more when asked by the newer method."""

    def __init__(self) -> None:
        self.asked: list[tuple[tuple[str, ...], Any]] = []

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        raise AssertionError("the newer method must be asked")

    def get_token_info(self, *scopes: str, options: TokenRequestOptions | None = None) -> AccessTokenInfo:
        self.asked.append((scopes, options))
        return INFO


class AsyncTelling:
    """The same, awaitable."""

    def __init__(self) -> None:
        self.inner = Telling()
        self.get_token = self.inner.get_token

    async def get_token_info(self, *scopes: str, options: TokenRequestOptions | None = None) -> AccessTokenInfo:
        await asyncio.sleep(0)
        return self.inner.get_token_info(*scopes, options=options)


class Old:
    """A credential that is not asked by the newer method: it has none, or has it switched off."""

    get_token_info = None

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        assert options == OPTIONS
        return AccessToken("old", 7)


class Giving:
    """A credential that gives whatever it is told to give."""

    def __init__(self, token: object) -> None:
        self.token = token

    def get_token(self, *scopes: str, **options: Any) -> Any:
        return self.token


class AsyncGiving(Giving):
    """The same, awaitable."""

    async def get_token(self, *scopes: str, **options: Any) -> Any:
        await asyncio.sleep(0)
        return self.token


# How they are asked


@pytest.mark.parametrize("kind", [Telling, AsyncTelling])
def test_the_method_that_tells_more_is_preferred_and_all_it_tells_is_kept(drive: Drive, kind: Any) -> None:
    credential = kind()
    assert drive(ask(credential, ("a", "b"), OPTIONS)) == INFO
    assert getattr(credential, "inner", credential).asked == [(("a", "b"), OPTIONS)]


def test_a_credential_without_the_newer_method_is_asked_by_the_older(drive: Drive) -> None:
    assert drive(ask(Old(), ("a",), OPTIONS)) == AccessTokenInfo("old", 7)


@pytest.mark.parametrize("kind", [Giving, AsyncGiving])
def test_what_a_foreign_credential_raises_comes_through(drive: Drive, kind: Any) -> None:
    class Raising(kind):  # type: ignore[misc]  # either colour
        @property
        def token(self) -> object:
            raise LookupError("its own error")

        @token.setter
        def token(self, value: object) -> None:
            """Take none."""

    with pytest.raises(LookupError, match="its own error"):
        drive(ask(Raising(None), ("a",), {}))


# What they give


@pytest.mark.parametrize("token", [None, "text", object(), AccessToken("", 1), SimpleNamespace(expires_on=9)])
@pytest.mark.parametrize("kind", [Giving, AsyncGiving])
def test_what_is_no_token_is_refused(drive: Drive, kind: Any, token: object) -> None:
    with pytest.raises(ValueError, match="token is empty"):
        drive(ask(kind(token), ("a",), {}))


@pytest.mark.parametrize("expires_on", [None, "soon", float("inf"), float("nan"), object()])
def test_a_token_that_does_not_say_when_it_expires_is_refused(drive: Drive, expires_on: Any) -> None:
    with pytest.raises(ValueError, match=r"^the credential's token does not say when it expires$") as caught:
        drive(ask(Giving(AccessToken("hidden", expires_on)), ("a",), {}))
    assert caught.value.__cause__ is None


def test_a_token_without_any_expiry_is_refused(drive: Drive) -> None:
    with pytest.raises(ValueError, match="does not say when it expires"):
        drive(ask(Giving(SimpleNamespace(token="t")), ("a",), {}))


def test_a_renewal_time_that_is_no_number_is_refused(drive: Drive) -> None:
    with pytest.raises(ValueError, match="does not say when it expires"):
        drive(ask(Giving(SimpleNamespace(token="t", expires_on=1, refresh_on="soon")), ("a",), {}))


@pytest.mark.parametrize("kind", [None, ""])
def test_a_token_without_a_type_is_a_bearer_token(drive: Drive, kind: str | None) -> None:
    given = SimpleNamespace(token="t", expires_on=1.9, refresh_on=0.9, token_type=kind)
    assert drive(ask(Giving(given), ("a",), {})) == AccessTokenInfo("t", 1, "Bearer", 0)


# Bounds


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drivers, "ASK_TIMEOUT", 0.01)
    monkeypatch.setattr(drivers, "CALL_TIMEOUT", 0.01)


async def endless(*scopes: str, **options: Any) -> Any:
    await asyncio.sleep(60)


@pytest.mark.usefixtures("_impatient")
def test_an_async_credential_may_not_take_for_ever(drive: Drive) -> None:
    with pytest.raises(TimeoutError):
        drive(ask(SimpleNamespace(get_token=endless), ("a",), {}))


@pytest.mark.usefixtures("_impatient")
def test_an_async_function_may_not_take_for_ever(drive: Drive) -> None:
    with pytest.raises(TimeoutError):
        drive(call(endless))


@pytest.mark.usefixtures("_impatient")
def test_awaitable_code_does_not_wait_for_ever_for_a_blocking_credential() -> None:
    released = threading.Event()

    class Waiting:
        def get_token(self, *scopes: str, **options: Any) -> AccessToken:
            released.wait(20)
            return AccessToken("late", 1)

    async def main() -> None:
        try:
            await drivers.AsyncDriver(None).run(ask(Waiting(), ("a",), {}))  # type: ignore[arg-type]  # sends nothing
        finally:
            released.set()

    with pytest.raises(TimeoutError):
        asyncio.run(main())
