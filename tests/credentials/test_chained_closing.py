"""Opening and closing a chain: its members' connections, and other members' own."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from credentials import ClientSecretCredential, ManagedIdentityCredential, get_bearer_token_provider
from credentials._chained import AsyncChainedTokenCredential, ChainedTokenCredential
from tests.credentials.chains import SCOPE, AsyncOurs, AsyncTheirs, Ours, Plain, Theirs, chain, closed_by
from tests.credentials.helpers import Colour
from tests.credentials.servers import loopback

ANSWER = b'{"access_token": "tok", "token_type": "Bearer", "expires_in": 3600}'


def closed(colour: Colour, one: Any) -> None:
    if colour.name == "blocking":
        one.close()
    else:
        asyncio.run(one.close())


def used(colour: Colour, one: Any, work: Callable[[], object] = lambda: None) -> None:
    """Enter the chain, do the work, and leave it."""

    async def main() -> None:
        async with one as entered:
            assert entered is one
            work()

    if colour.name == "async":
        asyncio.run(main())
        return
    with one as entered:
        assert entered is one
        work()


def test_members_of_ours_are_closed_in_the_chains_colour(colour: Colour) -> None:
    members = [Ours("a"), AsyncOurs("b"), Ours("c")]
    one = chain(colour, members[0], chain("blocking", members[1]), chain("async", members[2]))
    closed(colour, one)
    used(colour, one)
    assert [member.connections.closed for member in members] == [closed_by(colour) * 2] * 3


def test_other_members_are_entered_and_left() -> None:
    for colour, member, events in (
        ("blocking", Theirs("a"), ["enter", None]),
        ("async", Theirs("a"), ["enter", None]),
        ("async", AsyncTheirs("a"), ["aenter", ("aexit", None)]),
        ("blocking", AsyncTheirs("a"), []),
    ):
        used(Colour(colour), chain(colour, member))
        assert member.events == events
        member.events.clear()
        used(Colour(colour), chain(colour, chain("blocking", chain("async", member))))
        assert member.events == events


def test_other_members_are_closed() -> None:
    for colour, member, events in (
        ("blocking", Theirs("a"), ["close"]),
        ("async", Theirs("a"), ["close"]),
        ("async", AsyncTheirs("a"), ["aclose"]),
        ("blocking", AsyncTheirs("a"), []),
    ):
        closed(Colour(colour), chain(colour, Plain("nothing to close"), member))
        assert member.events == events


def test_an_awaitable_chain_closes_what_a_token_provider_opened_for_blocking_code() -> None:
    with loopback(lambda exchange: exchange.reply(200, ANSWER)) as server:
        member = ClientSecretCredential("t", "c", "s", authority=server.url, allow_local_authority=True)
        one = chain("async", chain("async", member))
        assert get_bearer_token_provider(one, SCOPE)() == "tok"
        assert len(member._pool._blocking) == 1
        closed(Colour("async"), one)
        assert len(member._pool._blocking) == 0


class Half:
    """A credential with one way to close it."""

    def __init__(self) -> None:
        self.events: list[object] = []

    def get_token(self, *scopes: str, **options: Any) -> Any: ...


class OnlyExit(Half):
    def __exit__(self, *why: object) -> None:
        self.events.append(why)


class OnlyClose(Half):
    def close(self) -> None:
        self.events.append("close")


def test_a_member_is_closed_by_what_it_has(colour: Colour) -> None:
    leaving, closing = OnlyExit(), OnlyClose()
    one = chain(colour, leaving, closing)
    closed(colour, one)
    used(colour, one)
    assert leaving.events == [(None, None, None)] * 2
    assert closing.events == ["close"] * 2


def test_a_member_learns_why_it_is_left(colour: Colour) -> None:
    members: list[Any] = [Theirs("a"), AsyncTheirs("b")]

    def fail() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        used(colour, chain(colour, *members), fail)
    assert members[0].events == ["enter", LookupError]
    assert members[1].events == ([] if colour.name == "blocking" else ["aenter", ("aexit", LookupError)])


@pytest.mark.parametrize("end", [closed, used])
def test_a_failing_close_leaves_no_other_member_open(colour: Colour, end: Callable[[Colour, Any], None]) -> None:
    members: list[Any] = [Theirs("a"), Ours("b"), Theirs("c"), Ours("d")]
    members[1].connections.error = OSError("of ours")

    def closing(member: Theirs) -> Callable[[object], None]:
        def note(event: object) -> None:
            member.events.append(event)
            if event != "enter":
                raise OSError("of theirs")

        return note

    members[2].note = closing(members[2])
    with pytest.raises(OSError, match="of "):
        end(colour, chain(colour, *members))
    assert members[0].events[-1] in ("close", None)
    assert len(members[0].events) == len(members[2].events)
    assert [member.connections.closed for member in (members[1], members[3])] == [closed_by(colour)] * 2


def test_members_that_were_entered_are_closed_if_another_cannot_be(colour: Colour) -> None:
    first, second = Theirs("a"), Theirs("b")

    def note(event: object) -> None:
        if event == "enter":
            raise OSError("cannot be entered")

    second.note = note  # type: ignore[method-assign]  # this one fails at once
    with pytest.raises(OSError, match="cannot be entered"):
        used(colour, chain(colour, first, second))
    assert first.events == ["enter", "close"]


def test_a_closed_chain_can_be_used_again(colour: Colour) -> None:
    one = chain(colour, Ours("a"))
    assert [colour.get_token(one, SCOPE).token for _ in range(2)] == ["a", "a"]


# Pickling


@pytest.mark.parametrize("kind", [ChainedTokenCredential, AsyncChainedTokenCredential])
def test_a_chain_is_pickled_as_its_members_are(kind: Any) -> None:
    one = kind(ManagedIdentityCredential(), kind(ManagedIdentityCredential()))
    again = pickle.loads(pickle.dumps(one))  # noqa: S301  # made a line above
    assert type(again) is kind
    assert [type(member) for member in again.credentials] == [ManagedIdentityCredential, kind]
    with pytest.raises(TypeError, match="ClientSecretCredential may hold a secret"):
        pickle.dumps(kind(ClientSecretCredential("t", "c", "s")))
