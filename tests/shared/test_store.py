"""The store's own rules: its settings, its start, what it counts, and what becomes of errors."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import redis

from credentials.kernel import Lead, Load, Operation, StoreError
from obo_middleware import ConfigurationError
from obo_middleware._shared_cache import token_store_of
from obo_middleware.redis import RedisTokenStore, SecretKey
from tests.adapters.servers import ROOT
from tests.core.kit import settings
from tests.shared.apps import Workers
from tests.shared.by_hand import FORMER, KEY, SEALER, SECRET
from tests.shared.servers import Server, eventually

NAME = SEALER.names(KEY)[0]
NOWHERE = "redis://127.0.0.1:1"


def store(url: str = NOWHERE, **options: Any) -> RedisTokenStore:
    given: dict[str, Any] = {"keys": SECRET, "max_wait": 2.0} | options
    return RedisTokenStore(url, **given)


# Settings


@pytest.mark.attack(132)
@pytest.mark.parametrize("keys", [None, [], ()])
def test_without_a_key_it_does_not_start_and_says_how_to_make_one(keys: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"keys is missing, .*openssl rand -base64 32.*OBO_CACHE_KEYS"):
        RedisTokenStore(NOWHERE, keys=keys)
    with pytest.raises(ConfigurationError, match="keys is missing"):
        settings(token_store=NOWHERE)


@pytest.mark.attack(132)
def test_plain_text_is_a_choice_of_its_own() -> None:
    assert RedisTokenStore(NOWHERE, plain_text=True).sealer.seal(NAME, b"x").endswith(b"x")
    with pytest.raises(ConfigurationError, match="plain_text is True although there are keys: give one of them"):
        RedisTokenStore(NOWHERE, plain_text=True, keys=SECRET)


@pytest.mark.parametrize("keys", [SECRET, SECRET.text, [SECRET], [SECRET.text, FORMER]])
def test_keys_are_given_in_any_form(keys: Any) -> None:
    assert RedisTokenStore(NOWHERE, keys=keys).sealer.names(KEY)[0] == NAME


def test_keys_stand_in_the_environment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OBO_CACHE_KEYS", f" {SECRET.text} , {FORMER.text},")
    made = settings(token_store=NOWHERE).store
    assert made is not None
    assert made.sealer.names(KEY)[0] == NAME
    assert len(made.sealer.names(KEY)) == 2


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"keys": "short"}, "keys has a text that is no key: a SecretKey is 32 random bytes"),
        ({"prefix": "a:b"}, "prefix is 'a:b': write letters"),
        ({"prefix": 7}, "prefix is 7"),
        ({"max_wait": 0}, "max_wait is 0: give seconds, more than 0"),
        ({"max_wait": True}, "max_wait is True"),
        ({"lead_seconds": "10"}, "lead_seconds is '10'"),
        ({"lead_seconds": 4_000}, "lead_seconds is 4000"),
        ({"url": "http://h"}, "the store's URL is no address"),
    ],
)
def test_a_setting_that_cannot_work_is_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        store(**changes)
    assert text in str(caught.value)


def test_settings_take_a_store_or_nothing() -> None:
    made = store()
    assert token_store_of(made) is made
    assert token_store_of(None) is None
    with pytest.raises(ConfigurationError, match=r"token_store is a dict: give an obo_middleware"):
        settings(token_store={})


def test_nothing_secret_is_shown() -> None:
    assert repr(store("redis://u:hidden@h")) == "RedisTokenStore(<one>)"


def test_without_redis_py_it_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['redis'] = None\n"
        "from obo_middleware._shared_cache import token_store_of\n"
        "try:\n    token_store_of('redis://h')\n"
        "except Exception as error:\n    print(error, '|', error.__cause__)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "token_store needs redis-py: pip install 'obo-middleware[redis]'" in done.stdout


# Start


def test_at_the_start_a_wrong_password_is_said(own_server: Server) -> None:
    own_server.ask("ACL", "SETUSER", "weak", "on", ">p", "~none", "+ping")
    for user in ("weak:wrong", "weak:p", "nobody:p"):
        made = store(f"redis://{user}@127.0.0.1:{own_server.port}")
        with pytest.raises(ConfigurationError, match="token_store refuses our user or password"):
            made.check()
        made.close()


def test_at_the_start_a_wrong_key_is_said_loudly_and_once_more_by_requests(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = store(server.url), store(server.url, keys=SecretKey.generate())
    assert first.check() == ""
    with pytest.raises(ConfigurationError, match="token_store has entries of other keys"):
        second.check()
    second.perform(Load(NAME))
    eventually(lambda: "has entries of other keys" in caplog.text)
    for made in (first, second):
        made.close()


@pytest.mark.attack(133)
def test_a_key_can_be_taken_away_when_all_have_the_new_one(server: Server) -> None:
    for keys in ([FORMER], [FORMER, SECRET], [SECRET, FORMER], [SECRET]):
        made = store(server.url, keys=keys)
        assert made.check() == ""
        made.close()


def test_at_the_start_a_store_that_is_down_may_be_up_later(caplog: pytest.LogCaptureFixture) -> None:
    assert store().check() == "ConnectionError"
    assert "the shared cache is not available at start: ConnectionError" in caplog.text


def test_an_application_warms_its_store_up_and_does_not_start_with_a_wrong_key(
    working: Workers, server: Server, colour: str
) -> None:
    app = working.start(server.url, colour)
    app.run(app.runtime.warm_up_flow())
    assert server.every_key() == [b"obo:canary"]
    other = working.start(server.url, colour, keys=SecretKey.generate())
    with pytest.raises(ConfigurationError, match="token_store has entries of other keys"):
        other.run(other.runtime.warm_up_flow())


# Statistics and errors


def test_statistics_count_what_was_done(server: Server) -> None:
    made = store(server.url)
    made.perform(Load(NAME))
    server.ask("SET", made._keys.entry(NAME), "x")
    made.perform(Load(NAME))
    eventually(lambda: made.statistics.listening)
    assert made.statistics == ("closed", 2, 1, 0, 0, True)
    made.close()


class Wire:
    """Connections that answer what they are told, or raise it."""

    def __init__(self, answer: object) -> None:
        self.answer = answer

    def begin(self) -> None:
        """Have nothing of a parent's."""

    def run(self, commands: object, seconds: float) -> object:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    async def run_async(self, command: object, check: Callable[[], None]) -> object:
        check()
        return self.run(command, 0.0)

    def client(self) -> object:
        raise redis.ConnectionError


Do = Callable[[RedisTokenStore, Operation], Any]
DO: dict[str, Do] = {
    "blocking": lambda made, operation: made.perform(operation),
    "async": lambda made, operation: asyncio.run(_awaited(made.perform_async(operation))),
}


async def _awaited(work: Awaitable[Any]) -> Any:
    return await work


@pytest.fixture(params=DO)
def do(request: pytest.FixtureRequest) -> Do:
    return DO[request.param]


def wired(answer: object) -> RedisTokenStore:
    made = store()
    made._connections = Wire(answer)  # type: ignore[assignment]  # what stands in for a server
    made._news.start = lambda: None  # type: ignore[method-assign]  # nothing to hear
    return made


@pytest.mark.parametrize("error", [redis.ConnectionError("GET hidden"), TimeoutError("hidden"), ValueError("hidden")])
def test_of_an_error_nothing_but_its_class_goes_further(do: Do, error: Exception) -> None:
    made = wired(error)
    with pytest.raises(StoreError) as caught:
        do(made, Load(NAME))
    assert (str(caught.value), caught.value.__cause__, caught.value.__context__) == (type(error).__name__, None, None)
    assert (made.statistics.failures, made._breaker._failures) == (1, 1)


def test_a_store_that_replies_with_an_error_is_there(do: Do) -> None:
    made = wired(redis.ResponseError("OOM"))
    with pytest.raises(StoreError, match="ResponseError"):
        do(made, Load(NAME))
    assert (made.statistics.failures, made._breaker._failures) == (1, 0)


@pytest.mark.parametrize("reply", [None, [], "x"])
def test_a_reply_that_is_no_answer_is_a_failure_of_the_store(do: Do, reply: object) -> None:
    with pytest.raises(StoreError, match="ValueError"):
        do(wired(reply), Lead(NAME, "me", 1.0))


def test_while_the_breaker_is_open_nothing_is_asked(do: Do) -> None:
    made = wired(None)
    flight = made.expect("entry")
    made._breaker._until = time.monotonic() + 60
    made._breaker._become("open")
    assert flight.future.done(), "nobody would be told any more"
    with pytest.raises(StoreError, match="left alone"):
        do(made, Load(NAME))
    assert made.statistics.opened == 1


def test_an_outage_is_said_when_it_begins_and_when_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    made = wired(None)
    with caplog.at_level(logging.INFO, "obo_middleware"):
        for state in ("open", "half-open", "open", "half-open", "closed", "open"):
            made._breaker._become(state)
    said = [(record.levelname, record.getMessage().rpartition(" ")[2]) for record in caplog.records]
    assert said == [("WARNING", "open"), ("INFO", "closed"), ("WARNING", "open")]
    assert made.statistics.opened == 3


def test_an_operation_that_waited_for_its_turn_while_the_breaker_opened_is_not_begun() -> None:
    made = wired(None)
    made._enter = lambda: made._breaker._become("open")  # type: ignore[method-assign]  # while it waits
    with pytest.raises(StoreError, match="left alone"):
        DO["async"](made, Load(NAME))
    assert made.statistics.failures == 0


def test_who_leaves_while_trying_lets_another_one_try(do: Do) -> None:
    made = wired(KeyboardInterrupt())
    made._breaker._probing = True
    made._breaker.admits = lambda: True  # type: ignore[method-assign]  # as the one that tries
    with pytest.raises(KeyboardInterrupt):
        do(made, Load(NAME))
    assert not made._breaker._probing
