from __future__ import annotations

import pytest

from tests.frameworks.conftest import Serve
from tests.frameworks.matrix import WSGI_FRAMEWORKS, check_row
from tests.frameworks.processes import WSGI


@pytest.mark.parametrize("server", WSGI)
@pytest.mark.parametrize("name", WSGI_FRAMEWORKS)
def test_everybody_gets_what_the_document_says_and_nothing_is_left(name: str, server: str, serve: Serve) -> None:
    check_row(name, server, serve)
