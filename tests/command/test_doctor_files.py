"""What the doctor finds in the settings themselves, and in the files that they name."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import jwt
import pytest

from obo_middleware import ClientAssertion, ClientCertificate, DownstreamApi
from obo_middleware.command._checks import client_credential, offline_checks
from tests.command.kit import HERE, NOW, Diagnosed, Make, Run, certificate


def test_audiences_without_the_app_itself_are_found(settings: Make, diagnosed: Diagnosed) -> None:
    ((name, (status, message, fix)),) = diagnosed(settings(audiences=["api://orders"])).items()
    assert (name, status) == ("audiences", "warning")
    assert message == "neither client_id nor api://client_id is among them: api://orders"
    assert "obo-middleware inspect" in fix


def test_a_permission_for_a_local_provider_is_found_where_there_is_none(run: Run, settings: Make) -> None:
    wrong = settings(authority="login.microsoftonline.com", allow_local_issuer=True)
    found = {check.name: check for check in offline_checks(wrong)}["authority"]
    assert (found.status, found.fix) == ("warning", "take allow_local_issuer (OBO_ALLOW_LOCAL_ISSUER) out")
    right = settings(authority="login.microsoftonline.com", allow_local_issuer=False)
    assert "authority" not in {check.name for check in offline_checks(right)}


def test_scopes_of_graph_at_another_address_are_found(settings: Make) -> None:
    apis = {
        "orders": DownstreamApi("https://orders.example", scopes=["orders.read"]),
        "graph": DownstreamApi("https://graph.microsoft.com/v1.0", scopes=["https://graph.microsoft.com/Mail.Read"]),
        "own": DownstreamApi("https://own.example", scopes=["api://own/read"]),
    }
    (found,) = [check for check in offline_checks(settings(downstream_apis=apis)) if "downstream" in check.name]
    assert (found.name, found.status) == ("downstream_apis[orders]", "warning")
    assert found.message == "orders.read is of Microsoft Graph, but base_url is at orders.example"


@pytest.mark.parametrize(
    ("begin", "days", "told"),
    [
        (-90, 30, ("failure", "the certificate ended on", "make a new one, upload it")),
        (2, 30, ("failure", "the certificate begins on", "set this machine's clock")),
        (-90, 100, ("warning", "the certificate ends on", "make a new one, upload it")),
    ],
)
def test_a_certificate_out_of_its_time_is_found(
    settings: Make, diagnosed: Diagnosed, begin: int, days: int, told: tuple[str, str, str]
) -> None:
    own = ClientCertificate(data=certificate(HERE + datetime.timedelta(days=begin), days=days))
    found = diagnosed(settings(client_credential=own))["client_credential"]
    assert [text.startswith(begin) for text, begin in zip(found, told, strict=True)] == [True, True, True]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, ("the token file", "mount the projected token there")),
        ("", ("the token file", "mount the projected token there")),
        ("not a token", ("what the token file has is no JWT", "put a token of the issuer")),
        ("a.bnVsbA.c", ("what the token file has is no JWT", "put a token of the issuer")),
        (
            {"exp": NOW - 10, "aud": "api://AzureADTokenExchange"},
            ("the token in the token file has ended", "find out why"),
        ),
        (
            {"exp": NOW + 900, "aud": "https://vault"},
            ("the token in the token file is for another", "project the token"),
        ),
        ({"aud": ["https://kubernetes"]}, ("the token in the token file is for another", "project the token")),
    ],
)
def test_a_token_file_that_is_of_no_use_is_found(
    settings: Make, diagnosed: Diagnosed, tmp_path: Path, content: Any, told: tuple[str, str]
) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_text(content if isinstance(content, str) else jwt.encode(content, "k" * 32, "HS256"))
    found = diagnosed(settings(client_credential=ClientAssertion.from_file(path)))
    status, *texts = found["client_credential"]
    assert (status, found["sign-in of the app"][0]) == ("failure", "failure")
    assert [text.startswith(begin) for text, begin in zip(texts, told, strict=True)] == [True, True]


def test_a_good_token_file_and_other_assertions_are_left_to_the_provider(settings: Make, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(jwt.encode({"exp": NOW + 900, "aud": "api://AzureADTokenExchange"}, "k" * 32, "HS256"))
    from_file = client_credential(settings(client_credential=ClientAssertion.from_file(path)))
    assert (from_file.status, from_file.message) == ("ok", "a token file, with a token that is good now")
    other = client_credential(settings(client_credential=ClientAssertion(lambda: "assertion")))
    assert (other.status, other.message) == ("ok", "a ClientAssertion")
    good = client_credential(settings(client_credential=ClientCertificate(data=certificate(HERE, days=90))))
    assert good.message.startswith("a certificate, good until ")
