"""The provider's metadata and signing keys: found, kept, and fetched again when that can help.

Facts: OpenID Connect Discovery 1.0 section 4, RFC 8414 section 3, Microsoft identity platform "Access tokens"
(signing key rollover).

Rules of this file:

1. One fetch at a time. A fetch that fails changes nothing: the last good keys stay (an outage of the provider
   is not ours).
2. An unknown key may cause a fetch at most once in ``COOL_DOWN`` seconds, and once in ``LONG_COOL_DOWN``
   after one that did not help: a flood of forged tokens costs the provider nothing.
3. Only URLs on the issuer's own hosts are fetched; no redirect is followed; answers are bounded in bytes and
   seconds.
4. Keys belong to their issuer.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Mapping
from typing import NamedTuple

from credentials.kernel import (
    USER_AGENT,
    AddressRefusedError,
    Clock,
    FlightTable,
    Flow,
    HttpRequest,
    HttpResponse,
    Observer,
    ProviderUnavailableError,
    TransportError,
    Work,
    event,
    observed_flow,
    scrub,
    send,
)
from obo_middleware._discovery import Place, process_document
from obo_middleware._keys import KeyName, SigningKey, process_jwks
from obo_middleware.errors import ConfigurationError, OboError, UpstreamUnavailableError

_logger = logging.getLogger("obo_middleware")

COOL_DOWN = 30.0
LONG_COOL_DOWN = 300.0
KEYS_LIVE = 86_400.0
"""Seconds after which keys are fetched again although nothing is missing (Microsoft's guidance: 24 hours)."""
FAILURE_KEPT = 5.0
"""Seconds during which a failed first fetch is not tried again."""
MAX_DOCUMENT = 65_536
_TIMEOUT = 5.0


class IssuerMetadata(NamedTuple):
    """Hold who signs (``issuer``, with ``{tenantid}`` for many tenants) and with which keys."""

    issuer: str
    jwks_uri: str
    keys: Mapping[KeyName, SigningKey]
    fetched_at: float


class Issuer:
    """Know one issuer's metadata and keys. ``public_only`` has them fetched from globally routable addresses only."""

    def __init__(
        self,
        place: Place,
        *,
        clock: Clock,
        on_change: Callable[[], None],
        public_only: bool = False,
        observer: Observer | None = None,
    ) -> None:
        self._place = place
        self.algorithms = place.algorithms
        self._clock = clock
        self._on_change = on_change
        self._public_only = public_only
        self._observer = observer
        self._flights: FlightTable[IssuerMetadata] = FlightTable()
        self._metadata: IssuerMetadata | None = None
        self._failure: OboError | None = None
        self._next_fetch = 0.0

    @property
    def metadata(self) -> IssuerMetadata | None:
        """What is known, or None before the first fetch."""
        return self._metadata

    def metadata_flow(self) -> Flow[IssuerMetadata]:
        """Return the metadata, fetched now if there is none.

        Raises :class:`UpstreamUnavailableError` if it cannot be had, :class:`ConfigurationError` if it is not
        this tenant's.
        """
        if self._metadata is not None:
            return self._metadata
        return (yield from self._flights.fly_flow(b"", lambda: self._metadata, self._first_fetch_flow))

    def key_flow(self, name: KeyName) -> Flow[SigningKey | None]:
        """Return the key of that id for that algorithm, after fetching the keys again if that may help, or None."""
        metadata = yield from self.metadata_flow()
        key = metadata.keys.get(name)
        cooling = self._cooling()
        stale = not 0 <= self._clock() - metadata.fetched_at <= KEYS_LIVE
        if key is not None and (cooling or not stale):
            return key
        if cooling and self._flights.find(b"") is None:
            # What is known now, not what was known above: the flight may have landed in between.
            return (self._metadata or metadata).keys.get(name)
        renewed = yield from self._renew_flow(metadata, name)
        return renewed.keys.get(name)

    def _first_fetch_flow(self) -> Flow[IssuerMetadata]:
        # The leader looks, and not the caller: another one may have failed in between.
        if self._failure is not None and self._cooling():
            raise copy.copy(self._failure)
        try:
            return (yield from self._fetch_flow(None))
        except (UpstreamUnavailableError, ConfigurationError) as error:
            if isinstance(error, UpstreamUnavailableError):
                error.retry_after = FAILURE_KEPT
            else:
                # Once for each fetch: anybody can send requests, with tokens that nobody signed, meanwhile.
                extra = event("obo.metadata.refused")
                _logger.error("%s: %s", type(error).__name__, scrub(str(error)), extra=extra)
                error.logged = True
            # A copy has no traceback, whose frames hold the request that came first, with its token and its cookies.
            self._failure = copy.copy(error)
            self._next_fetch = self._clock() + FAILURE_KEPT
            raise

    def _cooling(self) -> bool:
        """Tell whether it is too early to fetch again; a clock that was set back does not make it so for long."""
        return 0 < self._next_fetch - self._clock() <= LONG_COOL_DOWN

    def _renew_flow(self, old: IssuerMetadata, name: KeyName) -> Flow[IssuerMetadata]:
        """Fetch again, or wait for whoever does; the old metadata is the answer if it fails."""

        def renewed() -> IssuerMetadata | None:
            return self._metadata if self._metadata is not old else None

        def fetch_flow() -> Flow[IssuerMetadata]:
            self._next_fetch = self._clock() + COOL_DOWN
            metadata = yield from self._fetch_flow(old)
            if name not in metadata.keys:
                self._next_fetch = self._clock() + LONG_COOL_DOWN
            return metadata

        try:
            return (yield from self._flights.fly_flow(b"", renewed, fetch_flow))
        except (UpstreamUnavailableError, ConfigurationError, ProviderUnavailableError) as error:
            extra = event("obo.metadata.renewal_failed")
            _logger.warning("the provider's keys could not be renewed, the last good ones stay: %s", error, extra=extra)
            return old

    def _fetch_flow(self, old: IssuerMetadata | None) -> Flow[IssuerMetadata]:
        return (yield from observed_flow(self._observer, Work("metadata"), lambda: self._read_flow(old)))

    def _read_flow(self, old: IssuerMetadata | None) -> Flow[IssuerMetadata]:
        issuer, jwks_uri = self._place.known or (yield from self._discover_flow())
        document = process_document((yield from self._get_flow(jwks_uri)), jwks_uri)
        keys = process_jwks(document, self._place.algorithms)
        if not keys:
            raise UpstreamUnavailableError(f"{jwks_uri} has no usable signing key")
        self._metadata = IssuerMetadata(issuer=issuer, jwks_uri=jwks_uri, keys=keys, fetched_at=self._clock())
        self._failure = None
        if old is not None and old.keys != keys:
            self._on_change()
        return self._metadata

    def _discover_flow(self) -> Flow[tuple[str, str]]:
        *others, last = self._place.urls
        for url in others:
            response = yield from self._get_flow(url)
            if response.status != 404:
                return self._place.judge(process_document(response, url))
        return self._place.judge(process_document((yield from self._get_flow(last)), last))

    def _get_flow(self, url: str) -> Flow[HttpResponse]:
        request = HttpRequest(
            method="GET",
            url=url,
            headers={"User-Agent": USER_AGENT},
            timeout=_TIMEOUT,
            max_bytes=MAX_DOCUMENT,
            public_only=self._public_only,
        )
        try:
            return (yield from send(request))
        except AddressRefusedError as error:
            raise ConfigurationError(
                f"{url} was not fetched, because {error}: correct the URL or what its name resolves to, or leave out "
                "the setting refuse_private_addresses if the issuer is inside your network."
            ) from error
        except TransportError as error:
            raise UpstreamUnavailableError(f"{url} could not be fetched: {error}") from error
