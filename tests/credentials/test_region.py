"""The regional authority: which region, how it is found out, which host, and for which requests."""

from __future__ import annotations

import asyncio
import enum
import urllib.parse
from typing import Any

import pytest

from credentials import AzureAuthorityHosts, ClientCertificate, ClientSecret
from credentials._authority import Authority
from credentials._client_authentication import ClientAuthentication, FileAssertion
from credentials._confidential_client import ConfidentialClient
from credentials._credential import TokenEngine
from credentials._drivers import AsyncDriver
from credentials._errors import CredentialUnavailableError, TransportError
from credentials._flow import Flow, HttpRequest, HttpResponse, RunFlow, SendRequest
from credentials._region import Region, metadata_request, process_metadata_response
from credentials._token_endpoint import UserAssertion
from tests.credentials.helpers import (
    SECRET,
    Clock,
    Colour,
    Drive,
    answer,
    certificate_pem,
    claims_of,
    key_pem,
    play,
    token_answer,
)
from tests.credentials.servers import Exchange, closed_port, loopback

PUBLIC = Authority("https://login.microsoftonline.com")
NO_REGION: dict[str, str] = {}


def detecting(**environ: str) -> Region:
    return Region("tryautodetect", environ=environ)


def told_flow(region: Region) -> Flow[str]:
    return (yield from region.authority_flow(PUBLIC)).url


# Names


@pytest.mark.parametrize("name", ["westeurope", "a", "eastus2", "south-1", "a" * 63])
def test_a_region_that_is_told_is_used_without_asking(name: str) -> None:
    played = play(told_flow(Region(name, environ={"REGION_NAME": "elsewhere"})))
    assert (played.effects, played.result) == ([], f"https://{name}.login.microsoft.com")


@pytest.mark.parametrize(
    "name", ["", "WestEurope", "west europe", "2west", "-west", "west-", "a.b", "west/x", "wést", "a" * 64, "west\n", 7]
)
def test_a_region_that_is_no_name_of_a_host_is_refused(name: Any) -> None:
    with pytest.raises(ValueError, match="must be the name of an Azure region"):
        Region(name)


def test_a_member_of_an_enumeration_of_regions_is_its_value() -> None:
    class Known(str, enum.Enum):  # noqa: UP042  # as azure-identity writes it
        WEST = "westeurope"

    assert play(told_flow(Region(Known.WEST))).result == "https://westeurope.login.microsoft.com"


# Hosts


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://login.microsoftonline.com", "https://r1.login.microsoft.com"),
        ("https://Login.Microsoft.com", "https://r1.login.microsoft.com"),
        ("https://login.windows.net", "https://r1.login.microsoft.com"),
        ("https://sts.windows.net", "https://r1.login.microsoft.com"),
        (f"https://{AzureAuthorityHosts.AZURE_GOVERNMENT}", "https://r1.login.microsoftonline.us"),
        (f"https://{AzureAuthorityHosts.AZURE_CHINA}", "https://r1.login.chinacloudapi.cn"),
        ("https://login.example:8443/path", "https://r1.login.example:8443/path"),
    ],
)
def test_the_host_of_a_region_in_each_cloud(url: str, expected: str) -> None:
    assert Authority(url).in_region("r1").url == expected


# Detection


@pytest.mark.parametrize("name", ["tryautodetect", "TryAutoDetect", "true", "TRUE"])
def test_the_environment_tells_the_region(name: str) -> None:
    region = Region(name, environ={"REGION_NAME": "West Europe"})
    assert play(told_flow(region)).result == "https://westeurope.login.microsoft.com"


@pytest.mark.parametrize("told", ["", "west_europe", "evil.example/"])
def test_else_the_metadata_service_tells_it(told: str) -> None:
    region = detecting(REGION_NAME=told)
    (effect,) = play(told_flow(region), "northeurope").effects
    assert isinstance(effect, RunFlow)
    assert effect.pool is region.pool
    played = play(effect.flow, answer(location="northeurope"))
    assert played.result == "northeurope"
    (asked,) = played.effects
    url = "http://169.254.169.254/metadata/instance/compute?api-version=2021-02-01"
    assert asked == SendRequest(metadata_request(url))


def test_the_metadata_service_is_asked_as_it_wants_to_be_and_shortly() -> None:
    assert metadata_request("http://m.example/") == HttpRequest(
        method="GET", url="http://m.example/", headers={"Metadata": "true"}, timeout=2.0, connect_timeout=1.0
    )


@pytest.mark.parametrize(
    "response",
    [
        answer(404, location="westeurope"),
        answer(500),
        answer(),
        answer(location=None),
        answer(location=["westeurope"]),
        answer(location="West Europe"),
        answer(location="evil.example/"),
        HttpResponse(status=200, headers={}, body=b"<html>"),
        HttpResponse(status=200, headers={}, body=b'["location"]'),
        HttpResponse(status=200, headers={}, body=b"\xff\xfe"),
    ],
)
def test_an_answer_without_a_region_tells_none(response: HttpResponse) -> None:
    assert process_metadata_response(response) == ""


def test_a_metadata_service_that_does_not_answer_tells_none() -> None:
    (effect,) = play(told_flow(detecting()), "").effects
    assert isinstance(effect, RunFlow)
    assert play(effect.flow, TransportError("ConnectTimeout")).result == ""


@pytest.mark.parametrize(("found", "url"), [("r1", "https://r1.login.microsoft.com"), ("", PUBLIC.url)])
def test_what_was_found_out_is_not_asked_again(found: str, url: str) -> None:
    region = detecting()
    assert play(told_flow(region), found).result == url
    played = play(told_flow(region))
    assert (played.effects, played.result) == ([], url)


def metadata(exchange: Exchange) -> None:
    exchange.reply(200, b'{"location": "uksouth", "name": "vm"}')


def test_the_region_is_found_over_a_wire_without_any_proxy(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.example:1")
    with loopback(metadata) as server:
        region = Region("tryautodetect", environ=NO_REGION, metadata_url=server.url + "/compute?v=1")
        for _ in range(2):
            assert drive_and_close(drive, region) == "https://uksouth.login.microsoft.com"
        (asked,) = server.asked
    assert (asked.method, asked.path, asked.headers["metadata"]) == ("GET", "/compute?v=1", "true")


def test_where_no_metadata_service_is_the_central_authority_serves(drive: Drive) -> None:
    with closed_port() as url:
        region = Region("tryautodetect", environ=NO_REGION, metadata_url=url)
        assert [drive_and_close(drive, region) for _ in range(2)] == [PUBLIC.url] * 2


def drive_and_close(drive: Drive, region: Region) -> str:
    async def main() -> str:
        try:
            return await AsyncDriver(drive.pool).run(told_flow(region))
        finally:
            await region.pool.aclose()

    if drive.colour == "async":
        return asyncio.run(main())
    try:
        return drive(told_flow(region))
    finally:
        region.pool.close()


# Requests


def client(authentication: ClientAuthentication, region: Region | None) -> ConfidentialClient:
    return ConfidentialClient(
        authority=PUBLIC,
        tenant_id="tenant",
        client_id="app",
        authentication=authentication,
        engine=TokenEngine(clock=Clock()),
        region=region,
    )


def sent(client: ConfidentialClient, assertion: UserAssertion | None = None) -> HttpRequest:
    """Return the one request by which a client gets a token."""
    (effect,) = play(client.token_flow(client.query(("s",)), assertion), token_answer()).effects
    assert isinstance(effect, SendRequest)
    return effect.request


def test_the_applications_own_token_comes_from_the_region() -> None:
    request = sent(client(ClientSecret(SECRET), Region("uksouth")))
    assert request.url == "https://uksouth.login.microsoft.com/tenant/oauth2/v2.0/token"


def test_a_users_token_never_comes_from_the_region_nor_looks_for_it() -> None:
    assertion = UserAssertion(token="user-token", partition=b"p")
    for region in (Region("uksouth"), detecting()):
        request = sent(client(ClientSecret(SECRET), region), assertion)
        assert request.url == "https://login.microsoftonline.com/tenant/oauth2/v2.0/token"


def test_a_region_is_looked_for_before_the_first_request_only() -> None:
    one = client(ClientSecret(SECRET), detecting())
    played = play(one.token_flow(one.query(("s",))), "uksouth", token_answer())
    first, second = played.effects
    assert isinstance(first, RunFlow)
    assert isinstance(second, SendRequest)
    assert second.request.url.startswith("https://uksouth.login.microsoft.com/")
    other = play(one.token_flow(one.query(("t",))), token_answer())
    assert len(other.effects) == 1


def test_an_authentication_that_is_not_available_does_not_wait_for_the_region() -> None:
    one = client(FileAssertion("/does/not/exist"), detecting())
    played = play(one.token_flow(one.query(("s",))))
    assert played.effects == []
    assert isinstance(played.error, CredentialUnavailableError)


def test_a_certificates_assertion_is_meant_for_the_central_token_endpoint() -> None:
    request = sent(client(ClientCertificate(data=key_pem() + certificate_pem()), Region("uksouth")))
    form = dict(urllib.parse.parse_qsl(request.body.decode()))
    assert claims_of(form["client_assertion"])["aud"] == "https://login.microsoftonline.com/tenant/oauth2/v2.0/token"


# Credentials


def region_of(credential: Any) -> str:
    region: Region | None = credential._client._region
    return play(told_flow(region)).result if region else "none"


def test_the_environment_is_read_when_a_credential_is_made(colour: Colour, monkeypatch: pytest.MonkeyPatch) -> None:
    before = colour.client_secret("tenant", "client", "secret")
    monkeypatch.setenv("AZURE_REGIONAL_AUTHORITY_NAME", "uksouth")
    within = colour.client_secret("tenant", "client", "secret")
    monkeypatch.setenv("AZURE_REGIONAL_AUTHORITY_NAME", "ukwest")
    assert [region_of(credential) for credential in (before, within)] == ["none", "https://uksouth.login.microsoft.com"]


def test_an_argument_wins_over_the_environment(colour: Colour, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_REGIONAL_AUTHORITY_NAME", "uksouth")
    credential = colour.client_secret("tenant", "client", "secret", regional_authority="ukwest")
    assert region_of(credential) == "https://ukwest.login.microsoft.com"


def test_a_credential_with_a_bad_region_is_refused_when_made(colour: Colour, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_REGIONAL_AUTHORITY_NAME", "UK South")
    with pytest.raises(ValueError, match="regional_authority 'UK South'"):
        colour.client_secret("tenant", "client", "secret")


def test_the_regions_connections_end_with_the_credential(colour: Colour) -> None:
    credential = colour.client_secret("tenant", "client", "secret", regional_authority="uksouth")
    pool, url = credential._client._region.pool, "http://127.0.0.1:1/"

    async def main() -> None:
        async with credential:
            pool.async_transport(url)
        assert not pool._async

    if colour.name == "async":
        asyncio.run(main())
    else:
        with credential:
            pool.blocking_transport(url)
        assert not pool._blocking


def test_the_regions_connections_stay_where_others_use_them_too(colour: Colour) -> None:
    credential = colour.client_secret("tenant", "client", "secret", regional_authority="uksouth")
    credential._owns_pool = False
    assert credential._pools() == ()
