"""WorkloadIdentityCredential through a token proxy of our own, over TLS, in both colours."""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from credentials import ProviderUnavailableError
from credentials import _token_endpoint as token_endpoint
from obo_middleware.testing import LocalEntra
from tests.credentials.federation import SCOPE, ask_at_once, class_of, foreign_token, trust_issuer
from tests.credentials.helpers import Colour, claims_of, local_options
from tests.credentials.servers import Exchange, Loopback, loopback

NAME = "1234.ests.aks"


@dataclass
class Cluster:
    """A pod's surroundings: the proxy, the file of its authorities, the service account's token."""

    proxy: Loopback
    context: ssl.SSLContext
    ca_file: Path
    token_file: Path
    set_variable: Callable[[str, str], None]
    authority: trustme.CA = field(default_factory=trustme.CA)

    def serve_as(self, name: str) -> None:
        """Show a certificate for a name to those who connect from now on."""
        self.authority.issue_cert(name).configure_cert(self.context)

    def trust(self, authority: trustme.CA) -> None:
        stamp = self.ca_file.stat().st_mtime_ns + 10**9 if self.ca_file.exists() else 10**18
        self.ca_file.write_bytes(authority.cert_pem.bytes())
        os.utime(self.ca_file, ns=(stamp, stamp))


def bring_to(entra: LocalEntra) -> Callable[[Exchange], None]:
    """Return what brings requests below `/tokens` to the provider, as they are."""

    def bring(exchange: Exchange) -> None:
        asked = exchange.server.asked[-1]
        url = f"{entra.authority}{asked.path.removeprefix('/tokens')}"
        kind = {"Content-Type": asked.headers["content-type"]}
        answer = httpx.post(url, content=asked.body, headers=kind, trust_env=False)
        exchange.reply(answer.status_code, answer.content)

    return bring


@pytest.fixture
def cluster(entra: LocalEntra, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """Serve the proxy at 127.0.0.1 with the certificate of another name, as AKS does."""
    trust_issuer(entra)
    monkeypatch.setattr(token_endpoint, "RETRY_DELAYS", ())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    token_file = tmp_path / "token"
    token_file.write_text(foreign_token())
    with loopback(bring_to(entra), context) as proxy:
        cluster = Cluster(proxy, context, tmp_path / "ca.pem", token_file, monkeypatch.setenv)
        cluster.serve_as(NAME)
        cluster.trust(cluster.authority)
        for name, value in {
            "TOKEN_PROXY": f"{proxy.url}/tokens/",
            "SNI_NAME": NAME,
            "CA_FILE": str(cluster.ca_file),
        }.items():
            monkeypatch.setenv(f"AZURE_KUBERNETES_{name}", value)
        yield cluster


def made(entra: LocalEntra, colour: Colour, cluster: Cluster, **options: Any) -> Any:
    usual = {"tenant_id": entra.tenant_id, "client_id": entra.api.client_id, "token_file_path": cluster.token_file}
    kind = class_of(colour, "_workload_identity", "WorkloadIdentityCredential")
    return kind(**({"enable_azure_proxy": True} | local_options(entra) | usual | options))


def refused(colour: Colour, credential: Any, cluster: Cluster) -> None:
    """Check that a token is refused, and that nothing has reached the proxy."""
    with pytest.raises(ProviderUnavailableError, match=r"AKS token proxy did not answer.*certificate is not trusted"):
        colour.get_token(credential, SCOPE)
    assert cluster.proxy.asked == []


# Tokens


def test_a_token_comes_through_the_proxy(entra: LocalEntra, colour: Colour, cluster: Cluster) -> None:
    claims = claims_of(colour.get_token(made(entra, colour, cluster), SCOPE).token)
    assert (claims["appid"], claims["appidacr"]) == (entra.api.client_id, "2")
    [asked] = cluster.proxy.asked
    assert asked.path == f"/tokens/{entra.tenant_id}/oauth2/v2.0/token"
    assert foreign_token() in asked.body.decode()


def test_the_key_in_the_cache_does_not_know_the_proxy(entra: LocalEntra, colour: Colour, cluster: Cluster) -> None:
    keys = [
        made(entra, colour, cluster, enable_azure_proxy=used)._query((SCOPE,), "get_token", {}).application
        for used in (True, False)
    ]
    assert keys[0] == keys[1]


def test_authorities_may_be_given_as_data(entra: LocalEntra, colour: Colour, cluster: Cluster) -> None:
    cluster.set_variable("AZURE_KUBERNETES_CA_FILE", "")
    cluster.set_variable("AZURE_KUBERNETES_CA_DATA", cluster.authority.cert_pem.bytes().decode())
    assert colour.get_token_info(made(entra, colour, cluster), SCOPE).token


def test_without_authorities_the_credentials_own_trust_counts(
    entra: LocalEntra, colour: Colour, cluster: Cluster
) -> None:
    cluster.set_variable("AZURE_KUBERNETES_CA_FILE", "")
    assert colour.get_token(made(entra, colour, cluster, connection_verify=cluster.ca_file), SCOPE).token
    cluster.proxy.asked.clear()
    refused(colour, made(entra, colour, cluster), cluster)


def test_without_leave_the_proxy_is_not_used(entra: LocalEntra, colour: Colour, cluster: Cluster) -> None:
    assert colour.get_token(made(entra, colour, cluster, enable_azure_proxy=False), SCOPE).token
    assert cluster.proxy.asked == []
    assert entra.requests_to("token") == 1


def test_without_settings_there_is_no_proxy_to_use(entra: LocalEntra, colour: Colour, cluster: Cluster) -> None:
    for name in ("TOKEN_PROXY", "SNI_NAME", "CA_FILE"):
        cluster.set_variable(f"AZURE_KUBERNETES_{name}", "")
    assert colour.get_token(made(entra, colour, cluster), SCOPE).token
    assert entra.requests_to("token") == 1


def test_an_http_proxy_of_the_environment_is_not_used(
    entra: LocalEntra, colour: Colour, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    credential = made(entra, colour, cluster)
    assert credential._proxy.pools[0]._direct
    assert colour.get_token(credential, SCOPE).token


def test_many_callers_share_one_request(entra: LocalEntra, colour: Colour, cluster: Cluster) -> None:
    entra.think_time = 0.05
    assert len(set(ask_at_once(colour, made(entra, colour, cluster)))) == 1
    assert len(cluster.proxy.asked) == 1


# Trust


def test_another_authoritys_certificate_is_refused_before_the_assertion_leaves(
    entra: LocalEntra, colour: Colour, cluster: Cluster
) -> None:
    cluster.trust(trustme.CA())
    refused(colour, made(entra, colour, cluster), cluster)


def test_the_credentials_own_trust_does_not_count(entra: LocalEntra, colour: Colour, cluster: Cluster) -> None:
    own = ssl.create_default_context(cadata=cluster.authority.cert_pem.bytes().decode())
    cluster.trust(trustme.CA())
    refused(colour, made(entra, colour, cluster, connection_verify=own), cluster)


@pytest.mark.parametrize("wanted", ["", "1234.ests.akt"], ids=["the address", "another name"])
def test_another_names_certificate_is_refused_before_the_assertion_leaves(
    entra: LocalEntra, colour: Colour, cluster: Cluster, wanted: str
) -> None:
    cluster.set_variable("AZURE_KUBERNETES_SNI_NAME", wanted)
    refused(colour, made(entra, colour, cluster), cluster)


def test_settings_that_cannot_be_used_are_refused_at_once(entra: LocalEntra, colour: Colour, cluster: Cluster) -> None:
    cluster.ca_file.write_bytes(b"")
    with pytest.raises(ValueError, match="AZURE_KUBERNETES_CA_FILE"):
        made(entra, colour, cluster)
    cluster.set_variable("AZURE_KUBERNETES_TOKEN_PROXY", "http://127.0.0.1")
    with pytest.raises(ValueError, match="AZURE_KUBERNETES_TOKEN_PROXY"):
        made(entra, colour, cluster, token_file_path="")


# Authorities that change


def change_authority(cluster: Cluster) -> None:
    cluster.authority = trustme.CA()
    cluster.serve_as(NAME)
    cluster.trust(cluster.authority)


def test_a_new_authority_is_trusted_as_soon_as_it_is_in_the_file(
    entra: LocalEntra, colour: Colour, cluster: Cluster
) -> None:
    credential = made(entra, colour, cluster)
    pools: list[Any] = []

    async def both() -> None:
        async with credential:
            await credential.get_token(SCOPE)
            pools.extend(credential._proxy.pools)
            change_authority(cluster)
            await credential.get_token(SCOPE, claims="{}")
            assert [dict(transports) for transports in pools[0]._async.values()] == []

    if colour.name == "async":
        asyncio.run(both())
    else:
        with credential:
            credential.get_token(SCOPE)
            pools.extend(credential._proxy.pools)
            change_authority(cluster)
            credential.get_token(SCOPE, claims="{}")
            assert pools[0]._blocking == {}
    assert len(cluster.proxy.asked) == 2
    assert pools[0] not in credential._proxy.pools


def test_closing_the_credential_closes_what_the_proxy_opened(
    entra: LocalEntra, colour: Colour, cluster: Cluster
) -> None:
    credential = made(entra, colour, cluster)
    colour.get_token(credential, SCOPE)
    [pool] = credential._proxy.pools
    assert pool in credential._pools()
    assert not pool._blocking
    assert not pool._async


# What is shown and pickled


def test_it_is_pickled_as_its_arguments_and_finds_the_proxy_anew(
    entra: LocalEntra, colour: Colour, cluster: Cluster
) -> None:
    again = pickle.loads(pickle.dumps(made(entra, colour, cluster)))  # noqa: S301  # our own
    assert colour.get_token(again, SCOPE).token
    assert len(cluster.proxy.asked) == 1


def test_the_assertion_is_never_shown(
    entra: LocalEntra, colour: Colour, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    shown: list[str] = []
    with caplog.at_level(logging.DEBUG):
        for answer in (bring_to(entra), lambda exchange: exchange.reply(400, exchange.server.asked[-1].body)):
            cluster.proxy.respond = answer
            credential = made(entra, colour, cluster)
            try:
                colour.get_token(credential, SCOPE)
            except Exception as error:  # noqa: BLE001  # looked at for what it shows
                shown += [str(error), repr(error), repr(vars(error))]
            shown += [repr(credential), repr(vars(credential)), repr(vars(credential._proxy))]
    assert foreign_token() not in "\n".join([*shown, caplog.text])
    assert foreign_token().split(".")[2] not in "\n".join([*shown, caplog.text])
