"""DefaultAzureCredential in a wrong environment, which must not keep an application from starting."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from credentials import ChainedAuthenticationError, ClientConfigurationError
from tests.credentials.chains import SCOPE
from tests.credentials.defaults import NAMES, default, have_nothing, names_of, recorders
from tests.credentials.developer_tools import AZ, on_path
from tests.credentials.helpers import Clock, Colour
from tests.credentials.identities import set_variables
from tests.credentials.servers import closed_port


@pytest.fixture(autouse=True)
def _nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    with closed_port() as url:
        have_nothing(monkeypatch, tmp_path, url)
        yield


BAD = {
    "EnvironmentCredential": {"AZURE_TENANT_ID": "a/b", "AZURE_CLIENT_ID": "c", "AZURE_CLIENT_SECRET": "s"},
    "WorkloadIdentityCredential": {
        "AZURE_TENANT_ID": "t",
        "AZURE_CLIENT_ID": "c\x01d",
        "AZURE_FEDERATED_TOKEN_FILE": "file",
    },
    "ManagedIdentityCredential": {"AZURE_CLIENT_ID": "c\x01d"},
}


@pytest.mark.parametrize(("name", "variables"), BAD.items())
def test_a_wrong_variable_ends_the_chain_at_its_member(
    name: str, variables: dict[str, str], colour: Colour, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    set_variables(monkeypatch, **variables)
    on_path(AZ, tmp_path, monkeypatch)
    one = default(colour, clock=Clock())
    assert names_of(one) == list(NAMES)
    stand_in = one.credentials[NAMES.index(name)]
    for method in ("get_token", "get_token_info"):
        with pytest.raises(ClientConfigurationError):
            getattr(colour, method)(stand_in, SCOPE)
    with pytest.raises(ChainedAuthenticationError, match=rf"\t{name}: ") as caught:
        colour.get_token(one, SCOPE)
    assert isinstance(caught.value.origin, ClientConfigurationError)


def test_what_an_option_cannot_be_told_of_a_member_is_told_when_it_is_asked(
    colour: Colour, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorders(monkeypatch, colour, lambda name: ValueError("no\nway") if name in NAMES[:1] else None)
    with pytest.raises(ChainedAuthenticationError, match="no way"):
        colour.get_token(default(colour), SCOPE)
    excluding = default(colour, exclude_environment_credential=True)
    assert colour.get_token(excluding, SCOPE).token == "token of WorkloadIdentityCredential"
