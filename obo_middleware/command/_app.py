"""The settings of somebody's app, found by ``module:name`` as servers find it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from credentials.kernel import scrub
from obo_middleware._on_behalf_of import OnBehalfOf
from obo_middleware._runtime import Runtime
from obo_middleware._settings import Settings
from obo_middleware.errors import ConfigurationError

from ._terminal import CommandError, harmless

_DEPTH = 20
"""How many layers of middleware are looked through."""


def settings_of(place: str) -> Settings:
    """Return the settings of the app, the ``Settings`` or the ``OnBehalfOf`` at ``module:name``.

    The module is imported as a server would do it, from the working directory. Raises :class:`CommandError` where
    there is nothing of that kind, and the :class:`ConfigurationError` of an app that cannot be set up.
    """
    module, colon, name = place.partition(":")
    if not (module and colon and name):
        raise CommandError(f"{place!r} names no app: write it as servers want it, module:name, such as app:app")
    found: Any = _imported(module)
    for part in name.split("."):
        if not hasattr(found, part):
            raise CommandError(f"the module {module!r} has no {name!r}: correct the name")
        found = getattr(found, part)
    settings = next(_settings_in(found), None)
    if settings is None:
        raise CommandError(
            f"{place} is a {type(found).__name__} without obo-middleware: name an app with OnBehalfOfMiddleware, "
            "or its Settings"
        )
    return settings


def _imported(module: str) -> Any:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(module)
    except ConfigurationError:
        raise
    except Exception as error:
        # Of the text of an app's own error nobody knows what is in it.
        text = harmless(scrub(str(error)))
        raise CommandError(f"the module {module!r} cannot be imported: {type(error).__name__}: {text}") from error


def _settings_in(found: Any) -> Iterator[Settings]:
    """Yield the settings that an object is, has, or wraps; frameworks keep their middleware in different places."""
    for _ in range(_DEPTH):
        own = getattr(found, "__dict__", {})
        yield from _given([found, own.get("runtime"), own.get("_runtime")])
        for layer in own.get("user_middleware", ()):  # what Starlette and its relatives will make of it
            yield from _given([*layer.args, *layer.kwargs.values()])
        found = own.get("wsgi_app") or own.get("app") or own.get("_app")


def _given(values: Iterable[Any]) -> Iterator[Settings]:
    for value in values:
        if isinstance(value, Settings):
            yield value
        elif isinstance(value, OnBehalfOf):
            yield value.runtime.settings
        elif isinstance(value, Runtime):
            yield value.settings
