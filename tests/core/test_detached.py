"""Contexts that go on after their request, because somebody asked for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from obo_middleware._lease import Lease, NoLease
from obo_middleware.errors import MissingTokenError, RefusedRequestError, RequestEndedError
from obo_middleware.testing import LocalEntra
from tests.core.faces import Face
from tests.core.hostile import Answer
from tests.core.kit import NOW, Clock


def test_a_detached_context_goes_on_after_its_request(face: Face) -> None:
    face.server.say("/v1/me", Answer())
    context = face.context("alice")
    context.begin()
    detached = context.detach()
    assert face.call(detached, "/me").status_code == 200, "while the request is at hand"
    context.end()
    assert face.call(detached, "/me").status_code == 200
    assert detached.user is context.user
    with pytest.raises(RequestEndedError):
        face.call(context, "/me")


def test_a_detached_context_has_clients_of_its_own(face: Face) -> None:
    context = face.context("alice")
    assert context.detach().client("api") is not context.client("api")


def test_a_detached_context_ends_with_its_block(face: Face) -> None:
    with face.context("alice").detach() as detached:
        pass
    with pytest.raises(RequestEndedError):
        face.call(detached, "/me")


def test_a_detached_context_ends_with_the_users_token(face: Face, entra: LocalEntra) -> None:
    face.server.say("/v1/me", Answer())
    context = face.context("alice")
    detached = context.detach()
    context.end()
    assert context.user is not None
    entra_clock: Any = entra.clock
    entra_clock.now = context.user.expires_on - 1.0
    detached._lease.check()
    entra_clock.now = float(context.user.expires_on)
    with pytest.raises(RequestEndedError, match="start_session"):
        detached._lease.check()


def test_nothing_is_detached_from_a_request_that_is_over(face: Face) -> None:
    context = face.context("alice")
    context.end()
    with pytest.raises(RequestEndedError):
        context.detach()


def test_what_is_detached_from_nobodys_request_is_nobodys(face: Face) -> None:
    anonymous = type(face.context("alice"))(face.runtime, None)
    detached = anonymous.detach()
    assert detached.user is None
    with pytest.raises(MissingTokenError):
        detached.client("api")
    assert isinstance(detached.app_client("api"), face.library.AsyncClient)


@pytest.mark.attack(172)
def test_a_detached_context_is_a_stranger_in_every_other_request() -> None:
    clock = Clock()
    mine, other = Lease(clock), Lease(clock)
    detached = mine.detached(NOW + 60)
    again = detached.detached(NOW + 60)

    def refused(lease: Lease) -> bool:
        try:
            lease.check()
        except RefusedRequestError:
            return True
        return False

    assert mine.run(lambda: (refused(detached), refused(again))) == (False, False)
    assert other.run(lambda: (refused(detached), refused(again))) == (True, True)
    assert detached.run(lambda: refused(mine)) is True, "the request's own client does not follow"


def test_a_client_of_no_request_is_at_home_in_each() -> None:
    check: Callable[[], None] = NoLease().check
    check()
    Lease(Clock()).run(check)
