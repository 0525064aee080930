"""No secret of a managed identity's endpoint is shown, whatever the endpoint answers."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from credentials import _azure_arc as azure_arc
from credentials import _managed_identity as managed_identity
from credentials import _managed_identity_sources as sources
from credentials import _token_endpoint as token_endpoint
from tests.credentials.arc_agent import KEY, key_file
from tests.credentials.canary import MIRRORS, STATUSES, Canary, asks, mirror, misplaced, says, speaks_no_http
from tests.credentials.fabric_node import SECRET_HEADER, server_context, thumbprint
from tests.credentials.helpers import Clock, Colour
from tests.credentials.identities import HEADER_SECRET, credential_of, forget_azure, set_variables
from tests.credentials.servers import Exchange, Loopback, loopback

pytestmark = pytest.mark.attack(184)

Respond = Callable[[Exchange], None]


class Endpoint:
    """A machine with one kind of endpoint, whose answers a test gives."""

    def __init__(self, kind: str, patch: pytest.MonkeyPatch, folder: Path) -> None:
        self.kind, self.patch, self.folder = kind, patch, folder

    @contextmanager
    def serving(self, respond: Respond) -> Iterator[Loopback]:
        tls = self.kind == "service fabric"
        with loopback(self.after_proof(respond), server_context(self.folder) if tls else None) as server:
            self.set_up(server.url)
            yield server

    def after_proof(self, respond: Respond) -> Respond:
        def first_asks_for_the_key(exchange: Exchange) -> None:
            if "Authorization" in exchange.headers:
                respond(exchange)
            else:
                exchange.reply(401, WWW_Authenticate=f"Basic realm={key_file(self.folder)}")

        return first_asks_for_the_key if self.kind == "arc" else respond

    def set_up(self, url: str) -> None:
        variables = {
            "app service": {"IDENTITY_ENDPOINT": url, "IDENTITY_HEADER": HEADER_SECRET},
            "service fabric": {"IDENTITY_ENDPOINT": url, "IDENTITY_HEADER": SECRET_HEADER},
            "azure ml": {"MSI_ENDPOINT": url, "MSI_SECRET": HEADER_SECRET},
            "cloud shell": {"MSI_ENDPOINT": url},
            "arc": {"IDENTITY_ENDPOINT": url, "IMDS_ENDPOINT": url},
            "pod identity": {"AZURE_POD_IDENTITY_AUTHORITY_HOST": url},
            "imds": {},
        }
        set_variables(self.patch, **variables[self.kind])
        if self.kind == "service fabric":
            self.patch.setenv("IDENTITY_SERVER_THUMBPRINT", thumbprint())
        self.patch.setattr(managed_identity, "IMDS_URL", url)


KINDS = ("app service", "service fabric", "azure ml", "cloud shell", "arc", "pod identity", "imds")
SECRETS = {"arc": KEY, "service fabric": SECRET_HEADER, "app service": HEADER_SECRET, "azure ml": HEADER_SECRET}


@pytest.fixture(params=KINDS)
def endpoint(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, canary: Canary
) -> Endpoint:
    forget_azure(monkeypatch)
    monkeypatch.setattr(token_endpoint, "RETRY_DELAYS", ())
    for name in ("IMDS_DELAYS", "IMDS_DELAYS_GONE", "IMDS_DELAYS_SILENT"):
        monkeypatch.setattr(sources, name, ())
    monkeypatch.setattr(azure_arc, "default_key_directory", lambda *_: str(tmp_path))
    canary.hide(SECRETS.get(request.param, KEY))
    return Endpoint(request.param, monkeypatch, tmp_path)


def ask(canary: Canary, colour: Colour, **options: Any) -> Callable[[], object]:
    def work() -> object:
        credential = credential_of(colour, clock=Clock(), **options)
        return asks(canary, colour, credential)()

    return work


@pytest.mark.parametrize("form", MIRRORS.values(), ids=MIRRORS)
def test_what_the_endpoint_repeats_is_not_shown(
    canary: Canary, colour: Colour, endpoint: Endpoint, form: Callable[[str], bytes]
) -> None:
    with endpoint.serving(mirror(200, form)) as server:
        for status in STATUSES:
            server.respond = endpoint.after_proof(mirror(status, form))
            canary.fails(ask(canary, colour))
            carried = " ".join(server.asked[-1].headers.values())
            assert SECRETS.get(endpoint.kind, "") in carried


@pytest.mark.parametrize("status", [200, 400, 403])
def test_a_token_in_the_wrong_place_is_not_shown(
    canary: Canary, colour: Colour, endpoint: Endpoint, status: int
) -> None:
    with endpoint.serving(says(status, b"")) as server:
        for body in misplaced().values():
            server.respond = endpoint.after_proof(says(status, body))
            canary.watch(ask(canary, colour))
        assert len(server.asked) >= len(misplaced())


def test_an_answer_that_is_no_http_is_not_shown(canary: Canary, colour: Colour, endpoint: Endpoint) -> None:
    canary.deaf_to = ("httpcore",)  # it logs the line that it cannot read
    with endpoint.serving(speaks_no_http):
        canary.fails(ask(canary, colour))


def test_nobody_there_shows_nothing(canary: Canary, colour: Colour, endpoint: Endpoint) -> None:
    with endpoint.serving(speaks_no_http):
        pass
    canary.fails(ask(canary, colour))
    canary.examine(credential_of(colour))


@pytest.mark.parametrize("endpoint", ["arc"], indirect=True)
@pytest.mark.parametrize("content", [f"{KEY}\n{KEY}", KEY * 200, f"{KEY}\x00", f"\udcff{KEY}"])
def test_the_content_of_a_bad_key_file_is_not_shown(
    canary: Canary, colour: Colour, endpoint: Endpoint, content: str
) -> None:
    def challenge(exchange: Exchange) -> None:
        path = key_file(endpoint.folder, content.encode("utf-8", "surrogateescape"), "other.key")
        exchange.reply(401, WWW_Authenticate=f"Basic realm={path}")

    with loopback(challenge) as server:
        endpoint.set_up(server.url)
        canary.fails(ask(canary, colour))
        assert all("authorization" not in asked.headers or "\ufffd" not in str(asked.headers) for asked in server.asked)


@pytest.mark.parametrize("endpoint", ["service fabric"], indirect=True)
def test_a_node_with_another_certificate_is_shown_nothing(canary: Canary, colour: Colour, endpoint: Endpoint) -> None:
    other = server_context(endpoint.folder, ("another",), ssl.TLSVersion.TLSv1_2)
    with loopback(says(200, b"{}"), other) as server:
        endpoint.set_up(server.url)
        canary.fails(ask(canary, colour))
        assert server.asked == []
