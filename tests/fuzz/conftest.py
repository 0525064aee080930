from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fuzz.world import world


@pytest.fixture(scope="module", autouse=True)
def the_log_is_heard() -> Iterator[None]:
    log = world().log
    log.begin()
    yield
    log.end()
