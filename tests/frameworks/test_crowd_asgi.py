from __future__ import annotations

import pytest

from tests.frameworks.conftest import Serve
from tests.frameworks.crowds import check_crowd
from tests.frameworks.matrix import ASGI_FRAMEWORKS
from tests.frameworks.processes import ASGI


@pytest.mark.attack(117)
@pytest.mark.parametrize("name", ASGI_FRAMEWORKS)
def test_everybody_in_a_crowd_gets_their_own_data(name: str, serve: Serve) -> None:
    check_crowd(ASGI_FRAMEWORKS[name], ASGI["uvicorn"], serve)
