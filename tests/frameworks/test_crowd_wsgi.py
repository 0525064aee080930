from __future__ import annotations

import pytest

from tests.frameworks.conftest import Serve
from tests.frameworks.crowds import check_crowd
from tests.frameworks.matrix import WSGI_FRAMEWORKS
from tests.frameworks.processes import WSGI


@pytest.mark.attack(117)
@pytest.mark.parametrize("name", WSGI_FRAMEWORKS)
def test_everybody_in_a_crowd_gets_their_own_data(name: str, serve: Serve) -> None:
    check_crowd(WSGI_FRAMEWORKS[name], WSGI["gunicorn gthread"], serve)
