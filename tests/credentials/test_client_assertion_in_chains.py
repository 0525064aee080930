"""An application that a managed identity proves, within a chain: an absent metadata service costs one short probe."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from credentials import ClientAssertion
from credentials import _managed_identity as module
from credentials._flow import RunFlow, SendRequest
from credentials._managed_identity_sources import Imds
from credentials._types import Place
from tests.credentials.chains import Plain, chain
from tests.credentials.helpers import Clock, Colour, play
from tests.credentials.own_credentials import kind
from tests.credentials.servers import closed_port

PROBE, FULL = "probe", "request"


class Asked(Imds):
    """A metadata service that is not there, and what it was asked."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.asked: list[str] = []

    def probe_request(self, query: Any) -> Any:
        self.asked.append(PROBE)
        return super().probe_request(query)

    def request(self, query: Any) -> Any:
        self.asked.append(FULL)
        return super().request(query)


@pytest.fixture
def imds(monkeypatch: pytest.MonkeyPatch) -> Iterator[Asked]:
    with closed_port() as url:
        source = Asked(url)
        monkeypatch.setattr(module, "Imds", lambda _base_url: source)
        yield source
        source.pool.close()


def proved(colour: Colour, clock: Clock, **options: Any) -> Any:
    identity = ClientAssertion.from_managed_identity(clock=clock)
    return kind(colour, "ClientAssertionCredential")("tenant", "client", identity, clock=clock, **options)


def test_in_a_chain_an_absent_metadata_service_is_probed_and_its_absence_remembered(
    colour: Colour, clock: Clock, imds: Asked
) -> None:
    one = chain(colour, proved(colour, clock), Plain("next"))
    for seconds in (0, 0, 29, 1):
        clock.now += seconds
        assert colour.get_token(one, "a/.default").token == "next"
    assert imds.asked == [PROBE, PROBE]


def test_a_user_is_told_of_an_absent_metadata_service_as_shortly(colour: Colour, clock: Clock, imds: Asked) -> None:
    identity = ClientAssertion.from_managed_identity(clock=clock)
    credential = colour.on_behalf_of("tenant", "client", user_assertion="user", client_assertion_func=identity)
    assert colour.get_token(chain(colour, credential, Plain("next")), "a/.default").token == "next"
    assert imds.asked == [PROBE]


@pytest.mark.parametrize("place", Place)
def test_the_identity_is_told_where_the_application_is_asked(place: Place, clock: Clock, imds: Asked) -> None:
    credential = proved(Colour("blocking"), clock)
    played = play(credential._member_flow(("a",), {}, place=place), RunFlow)  # any result: what runs is looked at below
    (outer,) = played.effects
    assert isinstance(outer, RunFlow)
    inner = next(outer.flow)
    assert isinstance(inner, RunFlow)
    assert isinstance(next(inner.flow), SendRequest)
    assert imds.asked == [FULL if place is Place.ALONE else PROBE]
    inner.flow.close()
    outer.flow.close()
