"""Who is forgotten is forgotten everywhere, at once, and by those too who could not hear it."""

from __future__ import annotations

import time

import pytest

from obo_middleware.errors import SharedCacheUnavailableError
from tests.shared.apps import COLOURS, MAIL, SCOPE, App, Workers
from tests.shared.by_hand import FORMER, SECRET
from tests.shared.servers import Server, eventually


def kept(app: App, user: str) -> int:
    """Return how many of a user's tokens are in a worker's memory."""
    group = app.group(user)
    return sum(1 for key in app.runtime.engine._cache._entries if key[:16] == group)


@pytest.mark.parametrize("teller", COLOURS)
def test_a_user_who_is_forgotten_is_gone_from_every_worker_in_less_than_a_second(
    working: Workers, server: Server, teller: str
) -> None:
    alice, bob = working.newcomer(), working.newcomer()
    wants = [(working.sign_in(user), scope) for user in (alice, bob) for scope in (SCOPE, MAIL)]
    first, *others = apps = [working.start(server.url, colour).listens() for colour in (teller, *COLOURS)]
    before = [app.tokens(wants) for app in apps]
    eventually(lambda: len(server.entries()) == 4)
    started = time.monotonic()
    first.forget(alice)
    eventually(lambda: [kept(app, alice) for app in apps] == [0, 0, 0], 1.0)
    assert time.monotonic() - started < 1
    assert [kept(app, bob) for app in apps] == [2, 2, 2]
    assert len(server.entries()) == 2
    after = [app.tokens(wants) for app in apps]
    assert working.exchanges == 4 + 2
    assert after[0] == after[1] == after[2]
    assert [after[0][i] == before[0][i] for i in range(4)] == [False, False, True, True]
    assert others


def test_everybody_is_forgotten_at_once_and_nothing_of_other_applications(
    working: Workers, server: Server, colour: str
) -> None:
    wants = [(working.sign_in(), SCOPE) for _ in range(3)]
    first, second = (working.start(server.url, colour).listens() for _ in range(2))
    other = working.start(server.url, colour, prefix="other")
    for app in (first, second, other):
        app.tokens(wants)
    eventually(lambda: len(server.entries()) == 6)
    first.forget()
    eventually(lambda: len(second.runtime.engine) == 0)
    assert (len(first.runtime.engine), len(other.runtime.engine)) == (0, 3)
    assert {key.split(b":")[0] for key in server.entries()} == {b"other"}
    second.tokens(wants)
    assert working.exchanges == 9


def test_more_tokens_than_fit_into_one_command_are_forgotten(working: Workers, server: Server) -> None:
    app = working.start(server.url)
    with server.client() as client, client.pipeline(transaction=False) as pipeline:
        for number in range(2_500):
            pipeline.set(f"obo:{{{number}}}:e:{number}", "x")
            pipeline.set(f"obo:{{{number}}}:l:{number}", "x")
        pipeline.set("obo:{1}:e:~session", "x")
        pipeline.execute()
    app.forget()
    assert server.every_key("obo:{*") == [b"obo:{1}:e:~session"]


def test_a_worker_that_could_not_hear_it_hears_it_when_it_can(
    working: Workers, own_server: Server, colour: str
) -> None:
    user = working.newcomer()
    token = working.sign_in(user)
    deaf, teller = (working.start(own_server.url, colour).listens() for _ in range(2))
    got = deaf.token(token)
    eventually(own_server.entries)
    deaf.store._news.end()
    eventually(lambda: not deaf.store.statistics.listening)
    teller.forget(user)
    assert kept(deaf, user) == 1
    deaf.listens()
    eventually(lambda: kept(deaf, user) == 0)
    assert deaf.token(token) != got


def test_a_worker_that_comes_later_knows_who_was_forgotten(working: Workers, server: Server, colour: str) -> None:
    user = working.newcomer()
    first = working.start(server.url, colour)
    first.token(working.sign_in(user))
    eventually(server.entries)
    ((key, value),) = server.entries().items()
    first.forget(user)
    server.ask("SET", key, value)
    late = working.start(server.url, colour).listens()
    late.token(working.sign_in(user))
    assert working.exchanges == 2


@pytest.mark.attack(133)
def test_a_user_is_forgotten_under_every_key(working: Workers, server: Server, colour: str) -> None:
    user = working.newcomer()
    token = working.sign_in(user)
    old, new = (working.start(server.url, colour, keys=keys).listens() for keys in ([FORMER], [SECRET, FORMER]))
    old.token(token)
    eventually(server.entries)
    new.forget(user)
    assert server.entries() == {}


def test_who_cannot_tell_the_others_says_so_and_has_forgotten_all_the_same(
    working: Workers, own_server: Server, colour: str
) -> None:
    user = working.newcomer()
    app = working.start(own_server.url, colour).listens()
    app.token(working.sign_in(user))
    own_server.stop()
    with pytest.raises(
        SharedCacheUnavailableError, match=r"the other processes could not be told to forget .*do it again"
    ):
        app.forget(user)
    assert kept(app, user) == 0
    own_server.start()


def test_a_token_that_comes_after_its_user_was_forgotten_is_kept_nowhere(
    working: Workers, server: Server, colour: str
) -> None:
    user = working.newcomer()
    app, other = (working.start(server.url, colour).listens() for _ in range(2))
    token = working.sign_in(user)
    answer = working.entra.clock
    told = []

    def meanwhile() -> None:
        other.forget(user)
        eventually(lambda: app.runtime.engine._forgotten.turn > 0)
        told.append(answer())

    original = app.runtime.client._send_flow

    def sending(request: object) -> object:
        meanwhile()
        return original(request)  # type: ignore[arg-type]  # passed on as it came

    app.runtime.client._send_flow = sending  # type: ignore[assignment]  # a provider that thinks for a while
    assert working.whose(app.token(token)) == user
    assert told
    assert kept(app, user) == 0
    app.store._outbox.end()
    assert server.entries() == {}
