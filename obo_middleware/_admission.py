"""Who may come in: what a request needs before its handler runs.

Rule of this file: of whoever is not let in the observer is told once, by the reason of the error and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from credentials.kernel import Event, Flow, Observer
from obo_middleware._bearer import bearer_token, presented
from obo_middleware._settings import Settings
from obo_middleware._validation import TokenValidator, Validated
from obo_middleware.errors import MissingTokenError, OboError


class Admission:
    """Judge requests by the rules of the settings. ``start`` is called with each one that is not known yet."""

    def __init__(
        self, settings: Settings, validator: TokenValidator, observer: Observer | None, start: Callable[[], None]
    ) -> None:
        self._settings = settings
        self._validator = validator
        self._observer = observer
        self._start = start

    def known(
        self, authorization: Sequence[bytes], path: str, method: str = "", proxied: Sequence[bytes] = ()
    ) -> Validated | None:
        """Return the user of a request whose very header was judged before, or None; no I/O, nothing is parsed.

        The arguments are those of :meth:`admit_flow`.
        """
        if self._public(path, method):
            return None
        try:
            if proxied:
                authorization = presented(authorization, proxied)
            if len(authorization) != 1:
                return None
            valid = self._validator.remembered(authorization[0])
            if valid is not None:
                self._validator.check(valid)
        except OboError as error:
            self._count_refusal(error)
            raise
        return valid

    def admit_flow(
        self, authorization: Sequence[bytes], path: str, method: str = "", proxied: Sequence[bytes] = ()
    ) -> Flow[Validated | None]:
        """Return the user of a request, or None if it may go on without one; raises an :class:`OboError` if it may not.

        ``authorization`` are the values of the headers of that name, ``path`` is as the server decodes it, ``method``
        is empty for what has none, ``proxied`` are the values of the headers that a trusted proxy sets.
        """
        self._start()
        if self._public(path, method):
            return None
        try:
            return (yield from self._judge_flow(presented(authorization, proxied)))
        except OboError as error:
            self._count_refusal(error)
            raise

    def _judge_flow(self, authorization: Sequence[bytes]) -> Flow[Validated | None]:
        token = bearer_token(authorization)
        if token is None:
            if self._settings.required:
                raise MissingTokenError
            return None
        valid = yield from self._validator.validate_flow(token)
        self._validator.check(valid)
        return valid

    def _count_refusal(self, error: OboError) -> None:
        if self._observer is not None:
            self._observer.count(Event("refused", "", error.reason))

    def _public(self, path: str, method: str) -> bool:
        return path in self._settings.public_paths or method in self._settings.public_methods
