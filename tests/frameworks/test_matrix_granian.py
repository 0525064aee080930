from __future__ import annotations

import pytest

from tests.frameworks.conftest import Serve
from tests.frameworks.matrix import ASGI_FRAMEWORKS, check_row

SERVER = "granian"


@pytest.mark.parametrize("name", ASGI_FRAMEWORKS)
def test_everybody_gets_what_the_document_says_and_nothing_is_left(name: str, serve: Serve) -> None:
    check_row(name, SERVER, serve)
