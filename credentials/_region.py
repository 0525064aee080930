"""The region of Azure whose own token service answers an application's requests for itself.

It is meant for Microsoft's own services and their like, and asked for by ``AZURE_REGIONAL_AUTHORITY_NAME``. Facts: as
MSAL does it; the region's name comes from ``REGION_NAME`` or the Azure Instance Metadata Service.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from credentials._authority import Authority
from credentials._errors import TransportError
from credentials._flow import Flow, HttpRequest, HttpResponse, run, send
from credentials._pool import bare_pool
from credentials._strict_json import parse_object

_LABEL = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_WRITTEN = re.compile(r"[A-Za-z]{1,15}(?: [A-Za-z]{1,15}){0,2} ?[0-9]?")
"""How people write a region's name. Nothing else is repeated in an error: it may be a secret in the wrong place."""
_METADATA = "http://169.254.169.254/metadata/instance/compute?api-version=2021-02-01"
_PATIENCE = 2.0
"""Seconds for the metadata service, which answers at once where there is one."""


class Region:
    """Know the region: as it is told, or as it is found out with the first request.

    Raises ``ValueError`` for a name that is no lower-case DNS label.
    """

    def __init__(self, name: str, *, environ: Mapping[str, str] = os.environ, metadata_url: str = _METADATA) -> None:
        # A member of an enumeration of texts would show its own name within the URL.
        text = str.__str__(name) if isinstance(name, str) else ""
        detect = text.lower() in ("tryautodetect", "true")
        if not detect and not _LABEL.fullmatch(text):
            shown = f"regional_authority {text!r}" if _WRITTEN.fullmatch(text) else "regional_authority"
            raise ValueError(f"{shown} must be the name of an Azure region, such as 'westeurope'")
        told = environ.get("REGION_NAME", "").replace(" ", "").lower() if detect else text
        # None: not known yet. Empty: not to be found, and so the central authority serves.
        self._name: str | None = told if _LABEL.fullmatch(told) else None
        self._metadata_url = metadata_url
        self.pool = bare_pool()

    def authority_flow(self, authority: Authority) -> Flow[Authority]:
        """Return the authority in this region, or as it is if the region is not to be found."""
        if self._name is None:
            self._name = yield from run(_detect_flow(self._metadata_url), self.pool)
        return authority.in_region(self._name) if self._name else authority


def _detect_flow(url: str) -> Flow[str]:
    try:
        return process_metadata_response((yield from send(metadata_request(url))))
    except TransportError:
        return ""


def metadata_request(url: str) -> HttpRequest:
    """Return the request that asks the Azure Instance Metadata Service where this machine is."""
    return HttpRequest(
        method="GET", url=url, headers={"Metadata": "true"}, timeout=_PATIENCE, connect_timeout=_PATIENCE / 2
    )


def process_metadata_response(response: HttpResponse) -> str:
    """Return the region in the metadata service's answer, or nothing."""
    try:
        location = parse_object(response.body).get("location") if response.status == 200 else None
    except ValueError:
        return ""
    return location if isinstance(location, str) and _LABEL.fullmatch(location) else ""
