"""What is logged about the errors of Entra that on-behalf-of meets: what is wrong, what to change, where to read on."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from credentials import ClientAuthenticationError
from credentials._advice import _SAME, ADVICE, PAGE, advice_for, advice_in, with_advice
from credentials.kernel import correlation_id_of
from example_apps.local import ROOT
from obo_middleware.testing import Application
from tests.adapters.harness import Served, serve
from tests.adapters.world import World

# What Entra calls each of them in its answer; what is made of that is not said here, but in the page.
_GRANT, _CLIENT, _INTERACTION = "invalid_grant", "invalid_client", "interaction_required"
ERRORS = {
    50013: _GRANT, 50020: _GRANT, 50027: _GRANT, 50076: _INTERACTION, 50079: _INTERACTION, 50105: _GRANT,
    50158: _INTERACTION, 50173: _GRANT, 53000: _INTERACTION, 53003: _INTERACTION, 65001: _GRANT, 70011: "invalid_scope",
    90002: "invalid_request", 240002: _GRANT, 500011: "invalid_resource", 500131: _GRANT, 500133: _GRANT,
    650057: "invalid_resource", 700016: "unauthorized_client", 700024: _CLIENT, 700027: _CLIENT, 700213: _CLIENT,
    7000112: "unauthorized_client", 7000215: _CLIENT, 7000222: _CLIENT,
}  # fmt: skip


class Page(NamedTuple):
    """What the page says of a number."""

    code: int
    gets: int
    text: str


def page() -> list[Page]:
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    found = re.findall(r"^### AADSTS(\d+)\n\nYour client gets (\d+)(.*?)(?=^### |\Z)", text, re.MULTILINE | re.DOTALL)
    return [Page(int(code), int(status), rest) for code, status, rest in found]


PAGES = page()


@pytest.fixture(scope="module", params=["asgi", "wsgi"])
def served(request: pytest.FixtureRequest, shared_world: World) -> Iterator[Served]:
    app = serve(request.param, shared_world.settings())
    yield app
    app.stop()


def test_the_page_has_each_number_once_and_no_other() -> None:
    assert [one.code for one in PAGES] == sorted(ADVICE) == sorted(ERRORS)
    assert len(ADVICE) >= 20


@pytest.mark.parametrize("one", PAGES, ids=lambda one: str(one.code))
def test_the_page_says_what_to_change_where(one: Page) -> None:
    change = one.text.partition("What to change: ")[2]
    assert len(change) > 30
    assert len(ADVICE[one.code]) < 200
    assert "\n" not in ADVICE[one.code]


@pytest.mark.parametrize("one", PAGES, ids=lambda one: str(one.code))
def test_the_log_says_what_to_do_and_the_client_is_told_nothing_of_it(
    served: Served, world: World, one: Page, caplog: pytest.LogCaptureFixture
) -> None:
    said = f"AADSTS{one.code}: Something went wrong. Trace ID: t Correlation ID: c Timestamp: 2026-01-01 00:00:00Z"
    body = {"error": ERRORS[one.code], "error_description": said, "error_codes": [one.code], "correlation_id": "c"}
    if ERRORS[one.code] == _INTERACTION:
        body["claims"] = json.dumps({"access_token": {"capolids": {"essential": True, "values": ["p"]}}})
    token = world.token(world.newcomer(), xms_cc=["cp1"])
    world.entra.answer_once(400, {"Content-Type": "application/json"}, json.dumps(body).encode())
    with caplog.at_level(logging.INFO):
        response = served.get("/me", token)
    assert response.status_code == one.gets
    (record,) = [record for record in caplog.records if getattr(record, "event", "").startswith("obo.request.")]
    text = record.getMessage()
    assert text.endswith(f"What to do: {ADVICE[one.code]} ({PAGE}#aadsts{one.code})")
    assert f"AADSTS{one.code}" in text
    for part in (ADVICE[one.code][:20], str(one.code), "troubleshooting", "AADSTS"):
        assert part not in response.text + str(response.headers)


def lacks_consent(world: World, name: str) -> None:
    world.entra.require_consent(name, world.entra.api, ["User.Read"])


def needs_a_factor(world: World, name: str) -> None:
    world.entra.require_mfa(name)


@pytest.mark.parametrize(("prepare", "code"), [(lacks_consent, 65001), (needs_a_factor, 50076)])
def test_the_providers_own_refusals_are_explained(
    served: Served, world: World, prepare: object, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    name = world.newcomer()
    assert callable(prepare)
    prepare(world, name)
    with caplog.at_level(logging.INFO):
        served.get("/me", world.token(name, xms_cc=["cp1"]))
    assert advice_for([code]) in caplog.text
    world.entra.forgive_mfa(name)


def test_a_wrong_secret_is_explained_where_it_is_found(world: World, caplog: pytest.LogCaptureFixture) -> None:
    app: Application = world.entra.api
    served = serve("asgi", world.settings(client_credential="wrong"))
    with caplog.at_level(logging.ERROR):
        assert served.get("/me", world.token("alice")).status_code == 500
    served.stop()
    records = [record for record in caplog.records if getattr(record, "event", "") == "obo.exchange.misconfigured"]
    assert len(records) == 1
    assert app.client_id in records[0].getMessage()
    assert records[0].getMessage().endswith(advice_for([7000215]))


def test_numbers_that_mean_the_same_have_the_same_advice() -> None:
    assert {advice_for([code]) for code in _SAME} == {advice_for([code]) for code in set(_SAME.values())}


def test_what_is_not_known_has_no_advice() -> None:
    assert (advice_for([]), advice_for([1, 2]), advice_in(None), advice_in(ValueError())) == ("", "", "", "")
    assert with_advice("text", ValueError()) == "text"


def test_the_first_number_that_is_known_counts() -> None:
    assert advice_for([1, 65001, 50076]) == advice_for([65001])


def test_the_advice_is_found_behind_the_error_that_was_made_of_it() -> None:
    class RefusedError(Exception):
        error_codes = (65001,)

    outer = ValueError()
    outer.__cause__ = RefusedError()
    assert advice_in(outer) == advice_for([65001])


@pytest.mark.parametrize("codes", [5, None, "65001", [65001], ([],), (None, "65001")])
def test_numbers_of_a_foreign_error_may_be_anything(codes: object) -> None:
    class ForeignError(ClientAuthenticationError):
        error_codes = codes

    assert with_advice("text", ForeignError("refused")) == "text"


def test_an_error_may_be_its_own_cause() -> None:
    one, other = ValueError(), ValueError()
    one.__cause__, other.__cause__ = other, one
    assert (advice_in(one), correlation_id_of(one)) == ("", "")
