"""What servers in processes of their own import: the WSGI and the Flask app, each with plain and with special settings.

A request says by a header which of them it is for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from obo_middleware import Settings
from tests.adapters.wire.apps import MAKE
from tests.adapters.wire.variants import VARIANTS

logging.basicConfig(level=logging.DEBUG)

_apps = {
    f"{kind}-{name}": MAKE[kind](Settings.from_env(**changes))
    for kind in ("wsgi", "flask")
    for name, changes in VARIANTS.items()
}


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Pass a request on, untouched, to the app that it names."""
    chosen: Iterable[bytes] = _apps[environ["HTTP_X_APP"]](environ, start_response)
    return chosen
