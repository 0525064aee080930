"""Several workers over one real store: one exchange for all of them, and nothing asked that need not be."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from credentials.kernel import Lead
from tests.shared.apps import COLOURS, MAIL, SCOPE, App, Workers
from tests.shared.servers import Server, eventually


def fill(working: Workers, server: Server, app: App, token: str) -> str:
    """Have a worker exchange a user's token, and wait until what it got is in the store."""
    before = len(server.entries())
    got = app.token(token)
    eventually(lambda: len(server.entries()) > before)
    return got


def test_what_one_worker_got_the_others_find_in_either_colour(working: Workers, server: Server) -> None:
    token = working.sign_in("alice")
    apps = [working.start(server.url, colour) for colour in COLOURS * 2]
    first = fill(working, server, apps[0], token)
    assert [app.token(token) for app in apps] == [first] * 4
    assert working.exchanges == 1


def test_each_user_and_each_scope_has_an_entry_of_its_own(working: Workers, server: Server, colour: str) -> None:
    users = [working.newcomer() for _ in range(3)]
    wants = [(working.sign_in(user), scope) for user in users for scope in (SCOPE, MAIL)]
    first = working.start(server.url, colour).tokens(wants)
    eventually(lambda: len(server.entries()) == 6)
    second = working.start(server.url, colour).tokens(wants)
    assert first == second
    assert [working.whose(token) for token in second] == [user for user in users for _ in range(2)]
    assert working.exchanges == 6


def test_a_token_in_memory_is_served_without_a_byte_to_the_store(working: Workers, server: Server, colour: str) -> None:
    app, token = working.start(server.url, colour), working.sign_in()
    got = fill(working, server, app, token)
    app.listens()
    counts = [server.commands, server.commands]
    assert {app.token(token) for _ in range(50)} == {got}
    counts.append(server.commands)
    assert counts[2] - counts[1] == counts[1] - counts[0], "the question alone costs so many commands"
    assert app.store.statistics.loads == 1


def test_many_workers_that_need_one_token_at_once_make_one_exchange(working: Workers, server: Server) -> None:
    token = working.sign_in()
    apps = [working.start(server.url, colour).listens() for colour in COLOURS * 3]
    working.entra.think_time = 0.2
    with ThreadPoolExecutor(len(apps)) as threads:
        got = list(threads.map(lambda app: app.tokens([(token, SCOPE)] * 5), apps))
    assert {token for each in got for token in each} == {got[0][0]}
    assert working.exchanges == 1


def test_who_does_not_listen_yet_waits_no_longer_than_who_does(working: Workers, server: Server, colour: str) -> None:
    token = working.sign_in()
    apps = [working.start(server.url, colour) for _ in range(4)]
    working.entra.think_time = 0.1
    with ThreadPoolExecutor(len(apps)) as threads:
        got = set(threads.map(lambda app: app.token(token), apps))
    assert (len(got), working.exchanges) == (1, 1)


def test_a_leader_that_died_costs_its_lead_and_one_exchange(working: Workers, server: Server, colour: str) -> None:
    app, token = working.start(server.url, colour, lead_seconds=0.5).listens(), working.sign_in()
    valid = app.admit(token)
    query = app.runtime.client.query((SCOPE,), enable_cae=False)
    name = app.store.sealer.names(app.runtime.client.key(query, valid.assertion))[0]
    assert app.store.perform(Lead(name, "dead", 0.5)) == 0.0
    assert working.whose(app.token(token))
    assert working.exchanges == 1
    eventually(lambda: len(server.entries()) == 1)


def test_two_applications_of_different_prefixes_share_nothing(working: Workers, server: Server, colour: str) -> None:
    token = working.sign_in()
    first, second = (working.start(server.url, colour, prefix=prefix) for prefix in ("one", "two"))
    fill(working, server, first, token)
    second.token(token)
    assert working.exchanges == 2
    eventually(lambda: {key.split(b":")[0] for key in server.entries()} == {b"one", b"two"})


def test_the_applications_own_tokens_are_shared_too(working: Workers, server: Server, colour: str) -> None:
    got = set()
    for app in [working.start(server.url, colour) for _ in range(2)]:
        client = app.runtime.client
        got.add(app.run(client.token_flow(client.query(("https://graph.microsoft.com/.default",)))).token)
        eventually(lambda: len(server.entries()) == 1)
    assert len(got) == 1
    assert len(working.entra.token_requests) == 1


def test_every_key_of_the_store_ends(working: Workers, server: Server) -> None:
    app = working.start(server.url).listens()
    fill(working, server, app, working.sign_in())
    app.forget("alice")
    ends = {key: server.ask("PTTL", key) for key in server.every_key()}
    assert len(ends) >= 4
    assert [key for key, left in ends.items() if left <= 0] == []
