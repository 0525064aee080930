"""AzureArc against a server that does as the agent does, in both colours."""

from __future__ import annotations

from pathlib import Path

import pytest

from credentials import AuthenticationError, CredentialUnavailableError
from credentials._azure_arc import AzureArc
from tests.credentials.arc_agent import KEY, RESOURCE, agent, key_file, wanted
from tests.credentials.helpers import Colour, Drive
from tests.credentials.identities import credential_of, forget_azure, set_variables
from tests.credentials.servers import Exchange, closed_port, loopback


def test_the_agent_gives_a_token_in_both_colours(tmp_path: Path, colour: Colour) -> None:
    with agent(tmp_path) as server:
        source = AzureArc(server.url + "/metadata/identity/oauth2/token", key_directory=str(tmp_path))
        assert Drive(colour.name, source.pool)(source.token_flow(wanted())).token == "arc-token"
        source.pool.close()
    first, second = server.asked
    assert (
        first.path
        == second.path
        == "/metadata/identity/oauth2/token?api-version=2020-06-01&resource=https%3A%2F%2Fvault.azure.net"
    )
    assert "authorization" not in first.headers
    assert second.headers["authorization"] == f"Basic {KEY}"
    assert [seen.headers["metadata"] for seen in server.asked] == ["true", "true"]


def test_the_public_credential_gets_its_token_so(
    tmp_path: Path, colour: Colour, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_azure(monkeypatch)
    monkeypatch.setattr("credentials._azure_arc.default_key_directory", lambda *_arguments: str(tmp_path))
    with agent(tmp_path) as server:
        set_variables(monkeypatch, IDENTITY_ENDPOINT=server.url, IMDS_ENDPOINT=server.url)
        assert colour.get_token(credential_of(colour), RESOURCE + "/.default").token == "arc-token"
    assert len(server.asked) == 2


def test_a_key_that_is_wrong_by_one_byte_is_refused(tmp_path: Path, colour: Colour) -> None:
    def respond(exchange: Exchange) -> None:
        right = exchange.headers.get("Authorization") == f"Basic {KEY}"
        path = key_file(tmp_path, b"n" + KEY[1:].encode())
        exchange.reply(200 if right else 401, b'{"error":"unauthorized"}', WWW_Authenticate=f"Basic realm={path}")

    with loopback(respond) as server:
        source = AzureArc(server.url, key_directory=str(tmp_path))
        with pytest.raises(AuthenticationError, match="401"):
            Drive(colour.name, source.pool)(source.token_flow(wanted()))
        source.pool.close()
    assert len(server.asked) == 2


def test_a_redirect_does_not_take_the_key_along(tmp_path: Path, colour: Colour) -> None:
    def respond(exchange: Exchange) -> None:
        if "Authorization" in exchange.headers:
            exchange.reply(307, b"{}", Location=exchange.server.url + "/elsewhere")
        else:
            exchange.reply(401, WWW_Authenticate=f"Basic realm={key_file(tmp_path)}")

    with loopback(respond) as server:
        source = AzureArc(server.url, key_directory=str(tmp_path))
        with pytest.raises(AuthenticationError, match="307"):
            Drive(colour.name, source.pool)(source.token_flow(wanted()))
        source.pool.close()
    assert [seen.path.split("?")[0] for seen in server.asked] == ["/", "/"]


def test_a_port_that_nobody_listens_on_has_no_agent(tmp_path: Path, colour: Colour) -> None:
    with closed_port() as url:
        source = AzureArc(url, key_directory=str(tmp_path))
        with pytest.raises(CredentialUnavailableError, match="ConnectError"):
            Drive(colour.name, source.pool)(source.token_flow(wanted()))
        source.pool.close()
