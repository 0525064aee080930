from __future__ import annotations

from typing import Any

import pytest

from credentials import (
    AuthenticationError,
    ClientConfigurationError,
    ConsentRequiredError,
    InteractionRequiredError,
    InvalidAssertionError,
    ProviderUnavailableError,
)
from credentials._token_answer import hide, parse_retry_after
from tests.credentials.helpers import NOW, answer, refusal, token_answer
from tests.credentials.processing import process
from tests.marks import showing

KINDS: list[Any] = [
    *showing(145, (65001, "invalid_grant", ConsentRequiredError)),
    (65004, "invalid_grant", ConsentRequiredError),
    (90094, "invalid_grant", ConsentRequiredError),
    (16000, "interaction_required", InteractionRequiredError),
    (50072, "interaction_required", InteractionRequiredError),
    (50074, "invalid_grant", InteractionRequiredError),
    (50076, "invalid_grant", InteractionRequiredError),
    (50079, "interaction_required", InteractionRequiredError),
    (50158, "invalid_grant", InteractionRequiredError),
    (53000, "invalid_grant", InteractionRequiredError),
    (53003, "access_denied", InteractionRequiredError),
    (53004, "invalid_grant", InteractionRequiredError),
    (0, "interaction_required", InteractionRequiredError),
    (0, "login_required", InteractionRequiredError),
    (0, "consent_required", ConsentRequiredError),
    *showing(146, *((code, "invalid_grant", InvalidAssertionError) for code in (50013, 500133))),
    (50173, "invalid_grant", InvalidAssertionError),
    (70043, "invalid_grant", InvalidAssertionError),
    (700082, "invalid_grant", InvalidAssertionError),
    (7000114, "unauthorized_client", InvalidAssertionError),
    (0, "invalid_grant", InvalidAssertionError),
    (500131, "invalid_grant", ClientConfigurationError),
    (65005, "invalid_grant", ClientConfigurationError),
    (90002, "invalid_request", ClientConfigurationError),
    *showing(147, (700016, "unauthorized_client", ClientConfigurationError)),
    *showing(147, *((code, "invalid_client", ClientConfigurationError) for code in (700027, 7000215, 7000222))),
    (0, "invalid_client", ClientConfigurationError),
    (0, "invalid_request", ClientConfigurationError),
    (0, "invalid_target", ClientConfigurationError),
    (0, "invalid_scope", ClientConfigurationError),
    (0, "invalid_resource", ClientConfigurationError),
    (0, "unauthorized_client", ClientConfigurationError),
    (0, "unsupported_grant_type", ClientConfigurationError),
    (0, "temporarily_unavailable", ProviderUnavailableError),
]


@pytest.mark.parametrize(("code", "error", "kind"), KINDS)
def test_a_refusal_is_of_the_kind_that_says_who_must_do_what(
    code: int, error: str, kind: type[AuthenticationError]
) -> None:
    with pytest.raises(AuthenticationError) as caught:
        process(refusal(code, error=error))
    assert type(caught.value) is kind
    assert (caught.value.error, caught.value.error_codes) == (error, (code,))


CODES: dict[type[AuthenticationError], tuple[int, ...]] = {
    ConsentRequiredError: (65001, 65004, 90094),
    InteractionRequiredError: (
        *(16000, 50072, 50074, 50076, 50079, 50158, 50187),
        *(53000, 53001, 53002, 53003, 53004, 53011),
    ),
    InvalidAssertionError: (
        *(50013, 50027, 50034, 50057, 50105, 50132, 500133, 50173),
        *(70043, 70044, 700082, 7000114),
    ),
    ClientConfigurationError: (500131, 65005, 90002, 900023, 700016, 700027, 7000215, 7000222),
}


@pytest.mark.parametrize(("kind", "code"), [(kind, code) for kind, codes in CODES.items() for code in codes])
def test_a_code_that_is_known_says_more_than_the_error(kind: type[AuthenticationError], code: int) -> None:
    with pytest.raises(AuthenticationError) as caught:
        process(refusal(code, error="something_new"))
    assert type(caught.value) is kind


@pytest.mark.parametrize("status", [*showing(149, 429), *showing(148, 500, 502, 503, 504)])
def test_a_provider_in_trouble_is_unavailable_whatever_it_says(status: int) -> None:
    with pytest.raises(ProviderUnavailableError) as caught:
        process(refusal(65001, status=status, headers={"retry-after": "7"}))
    assert (caught.value.status_code, caught.value.retry_after) == (status, 7.0)


@pytest.mark.attack(144)
def test_claims_ask_for_interaction_and_are_handed_on() -> None:
    with pytest.raises(InteractionRequiredError) as caught:
        process(refusal(1, claims='{"access_token":{}}'))
    assert caught.value.claims == '{"access_token":{}}'


@pytest.mark.parametrize("claims", ["[1", "[]", 5, {"access_token": {}}])
def test_claims_that_are_no_text_of_an_object_are_not_handed_on(claims: object) -> None:
    with pytest.raises(InvalidAssertionError) as caught:
        process(refusal(1, claims=claims))
    assert caught.value.claims is None


def test_a_suberror_can_ask_for_consent() -> None:
    with pytest.raises(ConsentRequiredError):
        process(refusal(1, suberror="consent_required"))


def test_an_error_beside_a_token_wins() -> None:
    with pytest.raises(InvalidAssertionError):
        process(token_answer(error="invalid_grant"))


def test_everything_that_an_error_answer_says_is_handed_on() -> None:
    members: dict[str, Any] = {name: name + " said" for name in ("suberror", "correlation_id", "trace_id", "timestamp")}
    with pytest.raises(AuthenticationError) as caught:
        process(refusal(50013, 1, **members))
    error = caught.value
    assert (error.suberror, error.correlation_id, error.trace_id, error.timestamp) == tuple(members.values())
    assert (error.status_code, error.error_codes, error.claims) == (400, (50013, 1), None)
    assert str(error) == "Microsoft Entra ID error '(invalid_grant) AADSTS: no.'"


def test_members_of_the_wrong_type_are_left_out() -> None:
    response = answer(400, error="invalid_grant", error_codes="50013", claims=7, suberror=[], error_description=None)
    with pytest.raises(InvalidAssertionError) as caught:
        process(response)
    assert (caught.value.error_codes, caught.value.claims, caught.value.suberror) == ((), None, "")
    assert str(caught.value) == "Microsoft Entra ID error '(invalid_grant) HTTP status 400'"
    with pytest.raises(InvalidAssertionError) as caught:
        process(answer(400, error="invalid_grant", error_codes=["1", 2, None, 3]))
    assert caught.value.error_codes == (2, 3)


@pytest.mark.parametrize("form", ['p"ss wörd', "p%22ss+w%C3%B6rd", r"p\"ss w\u00f6rd"])
def test_a_secret_is_hidden_as_it_is_and_as_forms_and_json_write_it(form: str) -> None:
    assert hide(f"{form}: no, {form}!", ['p"ss wörd']) == "<secret>: no, <secret>!"


def test_what_is_too_short_for_a_secret_stays() -> None:
    assert hide("a word", ["word"]) == "a <secret>"
    assert hide("a word", ["wor", "a", ""]) == "a word"


def test_a_description_is_one_bounded_line_without_tokens() -> None:
    description = "bad token eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl\r\nSet-Cookie: x\u2028" + "y" * 9000
    with pytest.raises(InvalidAssertionError) as caught:
        process(answer(400, error="invalid_grant", error_description=description))
    text = str(caught.value)
    assert "eyJ" not in text
    assert "<token>" in text
    assert text.isprintable()
    assert len(text) < 2200


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("120", 120.0),
        ("9" * 40, 999_999_999.0),
        ("Fri, 15 Jan 2027 08:01:00 GMT", 60.0),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0.0),
        ("Fri, 15 Jan 2027 09:01:00 +0100", 60.0),
        ("soon", None),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("\u0663", None),
        ("Fri, 99 Jan 2027 08:01:00 GMT", None),
        ("Fri, 15 Jan 99999 08:01:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, NOW) == seconds
