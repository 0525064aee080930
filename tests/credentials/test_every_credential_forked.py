"""Every credential in a process that was forked, as gunicorn's workers are, in both colours."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

from tests.credentials.flights import until
from tests.credentials.helpers import Colour
from tests.credentials.places import BLOCKING, Callers, Every, are_waiting, share
from tests.credentials.stand_ins import LIFE
from tests.credentials.test_fork import in_child

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]


def _ask(colour: Colour, credential: Any, scope: str) -> str:
    if colour.name == BLOCKING:
        return str(credential.get_token(scope).token)
    return str(asyncio.run(credential.get_token(scope)).token)


def test_a_forked_child_has_its_parents_token_and_gets_new_ones(every: Every, colour: Colour) -> None:
    credential = every.make(colour.name)
    kept = colour.get_token(credential, every.scopes[0]).token
    assert in_child(lambda: _ask(colour, credential, every.scopes[0]) == kept)
    assert every.stand_in.count == 1
    assert in_child(lambda: bool(_ask(colour, credential, every.scopes[1])))
    assert every.stand_in.count == 2
    every.clock.now += LIFE
    every.stand_in.recover()
    assert in_child(lambda: bool(_ask(colour, credential, every.scopes[0])))
    assert every.stand_in.count == 3
    assert colour.get_token(credential, every.scopes[0]).token


@pytest.mark.attack(160)
def test_a_child_that_is_forked_during_a_request_makes_its_own(every: Every, colour: Colour) -> None:
    credential = every.make(BLOCKING)
    mine = every.make(colour.name)
    share(credential, mine)
    callers = Callers(every)
    every.stand_in.hold()
    callers.in_threads(2, credential)
    every.stand_in.wait_until_asked()
    until(lambda: are_waiting(credential, 1))
    outcome = in_child(lambda: bool(_ask(colour, mine, every.scopes[0])))
    every.stand_in.let_go()
    tokens = callers.join()
    credential.close()
    assert outcome
    assert (len(tokens), len(set(tokens)), every.stand_in.count) == (2, 1, 2)
