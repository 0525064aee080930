"""The attacks on the shared cache, against real servers: whatever stands in the store, nobody gets another's token."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
from typing import Any, NamedTuple

import pytest

from credentials import AccessTokenInfo
from obo_middleware._sealing import SecretKey
from obo_middleware.testing import LocalEntra
from tests.credentials.test_fork import in_child
from tests.shared.apps import SCOPE, App, Workers, workers
from tests.shared.by_hand import FORMER, SECRET
from tests.shared.servers import Server, eventually


class Exploding(NamedTuple):
    """Ends the process that unpickles it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.kill, (os.getpid(), signal.SIGKILL)


class Kept(NamedTuple):
    """A user whose token a worker got, and where it is kept."""

    name: str
    token: str
    got: str
    key: bytes
    value: bytes


class Store:
    """A server in whose entries a test meddles, and workers that know nothing of it."""

    def __init__(self, working: Workers, server: Server, colour: str) -> None:
        self.working, self.server, self.colour = working, server, colour
        self.filler = self.worker()

    def worker(self, **options: Any) -> App:
        return self.working.start(self.server.url, self.colour, **options)

    def keep(self, filler: App | None = None, **claims: Any) -> Kept:
        """Have a worker put somebody's token there."""
        before = set(self.server.entries())
        name = self.working.newcomer()
        token = self.working.entra.sign_in(name, **claims)
        got = (filler or self.filler).token(token)
        eventually(lambda: set(self.server.entries()) - before)
        (key,) = set(self.server.entries()) - before
        return Kept(name, token, got, key, self.server.entries()[key])

    def put(self, key: bytes, value: bytes) -> None:
        self.server.ask("SET", key, value, "KEEPTTL")

    def check_missed(self, kept: Kept, *, exchanges: int) -> None:
        """Check that a worker that comes now exchanges the user's token, and gets that user's."""
        got = self.worker().token(kept.token)
        assert got != kept.got
        assert self.working.whose(got) == kept.name
        assert self.working.exchanges == exchanges
        # What was meddled with has been replaced, so that it costs one exchange of all workers and not one of each.
        eventually(lambda: self.server.entries().get(kept.key) not in (None, kept.value))
        assert self.worker().token(kept.token) == got
        assert self.working.exchanges == exchanges


@pytest.fixture
def store(working: Workers, server: Server, colour: str) -> Store:
    return Store(working, server, colour)


@pytest.mark.attack(127)
@pytest.mark.parametrize("place", [0, 1, 5, 16, 17, 60, -1])
def test_an_altered_entry_is_a_miss_and_is_replaced(store: Store, caplog: pytest.LogCaptureFixture, place: int) -> None:
    kept = store.keep()
    altered = bytearray(kept.value)
    altered[place] ^= 1
    store.put(kept.key, bytes(altered))
    got = store.worker().token(kept.token)
    assert (store.working.whose(got), store.working.exchanges) == (kept.name, 2)
    eventually(lambda: store.server.entries()[kept.key] != bytes(altered))
    assert caplog.text.count("cannot be opened and counts as absent") == 1
    for secret in (kept.token, kept.got, kept.name, kept.key.decode().split(":")[-1]):
        assert secret not in caplog.text


@pytest.mark.attack(127, 130)
@pytest.mark.parametrize(
    "value", [b"", b"\0" * 40, b"garbage", b"\x01" * 2_000], ids=["empty", "zeros", "text", "long"]
)
def test_any_other_value_is_a_miss_and_is_replaced(store: Store, value: bytes) -> None:
    kept = store.keep()
    store.put(kept.key, value)
    store.check_missed(kept._replace(value=value), exchanges=2)


@pytest.mark.attack(130)
def test_a_pickle_is_never_unpickled(store: Store) -> None:
    kept = store.keep()
    for harm in (Exploding(), AccessTokenInfo("stolen", 2_000_000_000)):
        store.put(kept.key, pickle.dumps(harm))
        assert store.working.whose(store.worker().token(kept.token)) == kept.name


@pytest.mark.attack(128)
def test_two_users_entries_that_are_swapped_are_two_misses(store: Store) -> None:
    alice, bob = store.keep(), store.keep()
    store.put(alice.key, bob.value)
    store.put(bob.key, alice.value)
    for exchanges, kept in ((3, alice._replace(value=bob.value)), (4, bob._replace(value=alice.value))):
        store.check_missed(kept, exchanges=exchanges)


@pytest.mark.attack(128)
def test_without_a_key_too_entries_that_are_swapped_are_misses(store: Store) -> None:
    plain = {"keys": None, "plain_text": True}
    filler = store.worker(**plain)
    alice, bob = store.keep(filler), store.keep(filler)
    store.put(alice.key, bob.value)
    assert store.working.whose(store.worker(**plain).token(alice.token)) == alice.name
    assert store.working.exchanges == 3


@pytest.mark.attack(128)
def test_an_entry_of_another_scope_of_the_same_user_is_a_miss(store: Store) -> None:
    kept = store.keep()
    store.put(kept.key.replace(kept.key.split(b":e:")[1], b"A" * 24), kept.value)
    store.server.ask("DEL", kept.key)
    store.check_missed(kept, exchanges=2)


@pytest.mark.attack(129)
def test_an_old_dump_that_is_restored_brings_nothing_back(server: Server, colour: str) -> None:
    ahead = [0.0]
    with LocalEntra(clock=lambda: time.time() + ahead[0]) as entra, workers(entra) as working:
        store = Store(working, server, colour)
        kept = store.keep(lifetime=10 * 86_400)
        dump = server.ask("DUMP", kept.key)
        server.ask("DEL", kept.key)
        ahead[0] = 86_400.0
        server.ask("RESTORE", kept.key, 0, dump)
        store.check_missed(kept, exchanges=2)


@pytest.mark.attack(129)
def test_what_was_forgotten_cannot_be_put_back(store: Store) -> None:
    kept = store.keep()
    other = store.worker().listens()
    store.filler.listens().forget(kept.name)
    eventually(lambda: other.runtime.engine._forgotten.last(store.filler.group(kept.name) + b"x" * 32).turn)
    store.server.ask("SET", kept.key, kept.value)
    for app in (store.filler, other, store.worker().listens()):
        got = app.token(kept.token)
        assert got != kept.got
        assert store.working.whose(got) == kept.name


@pytest.mark.attack(129)
def test_news_that_are_sent_again_forget_nobody_who_came_since(store: Store) -> None:
    kept, other = store.keep(), store.worker().listens()
    store.filler.listens().forget(kept.name)
    (news,) = store.server.ask("ZRANGE", "obo:forgotten", 0, -1)
    again = other.token(kept.token)
    eventually(store.server.entries)
    store.server.ask("PUBLISH", "obo:news", b"-" + news)
    store.server.ask("PUBLISH", "obo:news", b"-made up")
    store.server.ask("PUBLISH", "obo:news", b"what is this")
    store.server.ask("PUBLISH", "obo:news", b"+\xff")
    assert store.worker().listens().token(kept.token) == again
    assert other.token(kept.token) == again
    assert other.store.statistics.listening
    assert store.working.exchanges == 2


@pytest.mark.attack(133)
def test_entries_outlive_the_rotation_of_keys(store: Store) -> None:
    before = store.worker(keys=[FORMER])
    kept = store.keep(before)
    during = [store.worker(keys=keys) for keys in ([FORMER, SECRET], [SECRET, FORMER])]
    assert [app.token(kept.token) for app in during] == [kept.got] * 2
    assert store.working.exchanges == 1
    newer = store.keep(during[1])
    after = store.worker(keys=[SECRET])
    assert after.token(newer.token) == newer.got
    assert after.token(kept.token) != kept.got
    assert store.working.exchanges == 3


@pytest.mark.attack(133)
def test_an_unknown_key_is_a_miss(store: Store) -> None:
    kept = store.keep()
    assert store.worker(keys=[SecretKey.generate()]).token(kept.token) != kept.got
    assert store.working.exchanges == 2


@pytest.mark.attack(134)
def test_a_dump_shows_neither_users_nor_scopes_nor_tokens(store: Store) -> None:
    app = store.filler.listens()
    everybody = [store.keep() for _ in range(3)]
    app.forget(everybody[0].name)
    entra, dump = store.working.entra, store.server.dump()
    assert len(dump) > 3_000
    shown = [entra.tenant_id, SCOPE, "User.Read", "graph", entra.api.client_id, "eyJ0", "Bearer"]
    for kept in everybody:
        user = entra.users[kept.name]
        shown += [kept.name, user.object_id, user.object_id.replace("-", ""), kept.token, kept.got]
        shown += [part for token in (kept.token, kept.got) for part in token.split(".")]
    assert [text for text in shown if text.encode() in dump] == []


@pytest.mark.attack(134)
def test_without_the_key_nobody_can_tell_whose_an_entry_is(store: Store) -> None:
    kept = store.keep()
    user_id = store.working.entra.users[kept.name].object_id
    other = store.worker(keys=[SecretKey.generate()])
    group = other.store.sealer.group_names(other.group(kept.name))[0]
    assert group.encode() not in store.server.dump()
    assert user_id.encode() not in store.server.dump()


@pytest.mark.attack(160)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_shares_no_connection_thread_or_wait_with_its_parent(working: Workers, server: Server) -> None:
    app, token = working.start(server.url).listens(), working.sign_in()
    got = app.token(token)
    eventually(server.entries)
    mine = app.store._connections.client(1.0)
    app.store.expect("somebody")
    app.store._breaker.failed()
    with app.store._news._lock, app.store._connections._lock:

        def child() -> bool:
            threads = [thread.name for thread in threading.enumerate()]
            fresh = app.store._connections.client(1.0) is not mine and not app.store.statistics.listening
            fresh = fresh and not app.store._news._expected and app.store._breaker._failures == 0
            app.runtime.engine._cache.clear()
            return fresh and threads == ["MainThread"] and app.token(token) == got

        assert in_child(child)
    assert app.token(token) == got
    assert app.store.statistics.listening
    assert working.exchanges == 1
