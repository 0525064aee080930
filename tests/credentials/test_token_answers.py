from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credentials import AuthenticationError, ConsentRequiredError, UnusableAnswerError
from credentials._flow import HttpResponse
from credentials._token_answer import parse_retry_after
from credentials._token_endpoint import UserAssertion
from credentials._types import AccessTokenInfo
from tests.credentials.helpers import NOW, answer, client_info, refusal, token_answer
from tests.credentials.processing import ALICE, process
from tests.marks import by_name

# Tokens


def test_a_token_expires_when_told_and_is_to_be_renewed_before() -> None:
    info = process(token_answer("t", expires_in=3600))
    assert info == AccessTokenInfo("t", int(NOW) + 3600, refresh_on=int(NOW) + 3300)
    assert isinstance(info.expires_on, int)


@pytest.mark.peer_defect(21)
@pytest.mark.parametrize(
    ("members", "life", "renewal"),
    [
        ({"expires_in": "3600"}, 3600, 3300),
        ({"expires_in": 3600.5}, 3600, 3300),
        ({"expires_in": 7199}, 7199, 6899),
        ({"expires_in": 7200}, 7200, 3600),
        ({"expires_in": 86_400}, 86_400, 43_200),
        ({"expires_in": 3600, "refresh_in": 1200}, 3600, 1200),
        ({"expires_in": 3600, "refresh_in": "1200"}, 3600, 1200),
        ({"expires_in": 3600, "refresh_in": 3600}, 3600, 3300),
        ({"expires_in": 3600, "refresh_in": -1}, 3600, 3300),
        ({"expires_in": 3600, "refresh_in": "soon"}, 3600, 3300),
        ({"expires_in": 60}, 60, 30),
        ({"expires_on": int(NOW) + 100, "expires_in": 3600}, 100, 50),
        ({"expires_on": str(int(NOW) + 100), "expires_in": 3600}, 100, 50),
    ],
)
def test_times_are_read_from(members: dict[str, Any], life: int, renewal: int) -> None:
    info = process(token_answer(**members))
    assert info.refresh_on is not None
    assert (info.expires_on - NOW, info.refresh_on - NOW) == (life, renewal)


@pytest.mark.attack(136)
@pytest.mark.parametrize(
    "value",
    [
        0,
        -1,
        -3600,
        10**18,
        pytest.param(10**400, id="10**400"),
        366 * 86_400,
        367 * 86_400,
        "soon",
        "-1",
        "1e3",
        "+5",
        " 5",
        "\u0663",
        "9" * 30,
        None,
        [],
        {},
        True,
        1e300,
    ],
)
def test_an_implausible_life_is_over_at_once_so_that_the_token_is_not_kept(value: Any) -> None:
    assert process(token_answer(expires_in=value)).expires_on == int(NOW)


@pytest.mark.attack(136)
def test_an_infinite_life_is_over_at_once() -> None:
    body = b'{"token_type":"Bearer","access_token":"hidden","expires_in":1e999}'
    assert process(HttpResponse(status=200, headers={}, body=body)).expires_on == int(NOW)


@pytest.mark.attack(136)
def test_an_end_in_the_past_is_over_at_once() -> None:
    assert process(token_answer(expires_on=int(NOW) - 100)).expires_on == int(NOW)


@pytest.mark.parametrize("token_type", ["Bearer", "bearer", "BEARER"])
def test_a_bearer_token_is_taken_in_any_case(token_type: str) -> None:
    assert process(token_answer(token_type=token_type)).token == "downstream-token"


UNUSABLE: dict[str, HttpResponse] = {
    "no token": token_answer(access_token=None),
    "an empty token": token_answer(access_token=""),
    "a token that is a number": token_answer(access_token=7),
    "type pop": token_answer(token_type="pop"),
    "type DPoP": token_answer(token_type="DPoP"),
    "type N_A": token_answer(token_type="N_A"),
    "type null": token_answer(token_type=None),
    "no life": answer(access_token="hidden", token_type="Bearer"),
    "empty object": answer(),
    "empty body": HttpResponse(status=200, headers={}, body=b""),
    "HTML": HttpResponse(status=200, headers={}, body=b"<html>hidden</html>"),
    "a list": HttpResponse(status=200, headers={}, body=b'["hidden"]'),
    "no text": HttpResponse(status=200, headers={}, body=b'\xff{"access_token":"hidden"}'),
    "UTF-16": HttpResponse(status=200, headers={}, body='{"access_token":"hidden"}'.encode("utf-16")),
    "cut off": HttpResponse(status=200, headers={}, body=b'{"access_token":"hidden","expires_in'),
    "NaN": HttpResponse(
        status=200, headers={}, body=b'{"access_token":"hidden","token_type":"Bearer","expires_in":NaN}'
    ),
    "a doubled member": HttpResponse(
        status=200, headers={}, body=b'{"access_token":"hidden","access_token":"hidden2","expires_in":5}'
    ),
    "too deep": HttpResponse(status=200, headers={}, body=b"[" * 100_000),
    "a number too long": HttpResponse(status=200, headers={}, body=b'{"expires_in":' + b"9" * 5000 + b"}"),
    "a redirect": HttpResponse(status=307, headers={"location": "https://evil.example"}, body=b""),
    "created": answer(201, access_token="hidden", token_type="Bearer", expires_in=5),
    "an unknown error": refusal(error="something_new"),
    "an error that is no text": answer(400, error={"code": "hidden"}),
    "a proxy's page": HttpResponse(status=404, headers={}, body=b"<html>hidden"),
}


CASES = {
    **dict.fromkeys(["type pop", "type DPoP", "type N_A", "type null"], (138,)),
    **dict.fromkeys(["no token", "an empty token", "a token that is a number", "empty object", "empty body"], (141,)),
    **dict.fromkeys(["HTML", "a list", "no text", "UTF-16", "cut off", "a doubled member", "too deep"], (141,)),
    **dict.fromkeys(["NaN", "no life"], (136, 141)),
    "a redirect": (143,),
}
"""The answers that show a case of the list of attacks."""


@pytest.mark.parametrize("response", by_name(UNUSABLE, CASES))
def test_an_answer_is_unusable_and_nothing_of_it_is_told(response: HttpResponse) -> None:
    with pytest.raises(UnusableAnswerError) as caught:
        process(response)
    assert caught.value.status_code == response.status
    assert_says_nothing(caught.value, "hidden")


def test_an_answer_that_is_no_json_is_called_so() -> None:
    with pytest.raises(UnusableAnswerError, match="is not a JSON object"):
        process(UNUSABLE["HTML"])


def assert_says_nothing(error: BaseException, secret: str) -> None:
    """Check an error, what caused it, and all that hangs on them."""
    seen: BaseException | None = error
    while seen is not None:
        texts = [str(seen), repr(seen), *[repr(value) for value in vars(seen).values()]]
        texts += [repr(getattr(seen, name, "")) for name in ("doc", "object", "args")]
        assert not [text for text in texts if secret in text]
        seen = seen.__cause__ or seen.__context__


# Whose token


@pytest.mark.attack(140)
def test_fewer_scopes_than_asked_for_are_named_and_no_success() -> None:
    with pytest.raises(ConsentRequiredError, match=r"Mail\.Read") as caught:
        process(token_answer(scope="https://graph.microsoft.com/User.Read"), "User.Read", "Mail.Read")
    assert "User.Read" not in str(caught.value)


@pytest.mark.parametrize(
    "scope",
    [
        "User.Read",
        "https://graph.microsoft.com/User.Read",
        "user.read",
        "openid User.Read profile",
        "a/b User.Read",
        "",
    ],
)
def test_scopes_are_granted_with_or_without_their_resource(scope: str) -> None:
    assert process(token_answer(scope=scope), "https://graph.microsoft.com/User.Read")


def test_scopes_that_are_not_told_are_all_granted() -> None:
    assert process(token_answer(), "User.Read")
    for nothing in (None, 7, ["Mail.Read"]):
        assert process(token_answer(scope=nothing), "User.Read")
    assert process(token_answer(scope="User.Read Mail.Read"), "https://graph.microsoft.com/.default")


@pytest.mark.attack(140)
def test_a_scope_is_not_granted_by_a_longer_one() -> None:
    with pytest.raises(ConsentRequiredError):
        process(token_answer(scope="User.Read.All"), "User.Read")


def test_a_token_of_the_same_user_is_taken() -> None:
    assert process(token_answer(client_info=client_info("alice-oid", "home")), assertion=ALICE)


@pytest.mark.attack(142)
def test_a_token_of_another_user_is_refused() -> None:
    with pytest.raises(UnusableAnswerError, match="another user"):
        process(token_answer(client_info=client_info("bob-oid", "home")), assertion=ALICE)


def test_a_guest_is_known_by_the_home_account_which_is_not_compared() -> None:
    assert process(token_answer(client_info=client_info("guest-home-oid", "other home")), assertion=ALICE)


def test_without_a_known_user_nothing_is_compared() -> None:
    unknown = UserAssertion(token="t", partition=b"p")
    for info in (client_info("anybody", "home"), "!!!"):
        assert process(token_answer(client_info=info), assertion=unknown)
    assert process(token_answer(client_info=7), assertion=ALICE)
    assert process(token_answer(), assertion=ALICE)


@pytest.mark.parametrize("text", ["!!!", "bm8", "W10", "a", "\u00e4", "eyJ1aWQi"])
def test_a_client_info_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(UnusableAnswerError, match="client_info"):
        process(token_answer(client_info=text), assertion=ALICE)


# Garbage

MEMBERS = st.sampled_from(
    [
        "access_token", "token_type", "expires_in", "expires_on", "refresh_in", "scope", "client_info",
        "error", "error_codes", "error_description", "claims", "suberror",
    ]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["Bearer", "hidden", "3600"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
ANSWERS = st.dictionaries(MEMBERS, VALUES).map(lambda members: json.dumps(members).encode())
STATUSES = st.sampled_from([200, 204, 302, 400, 401, 429, 500, 999])


@pytest.mark.attack(141)
@given(STATUSES, st.binary() | ANSWERS, st.text(max_size=20))
def test_garbage_is_a_token_or_an_authentication_error(status: int, body: bytes, retry_after: str) -> None:
    response = HttpResponse(status=status, headers={"retry-after": retry_after}, body=body)
    try:
        info = process(response, "User.Read", assertion=ALICE)
    except AuthenticationError:
        return
    assert status == 200
    assert info.token
    assert NOW <= info.expires_on < NOW + 366 * 86_400
    assert info.refresh_on is not None
    assert info.refresh_on <= info.expires_on


@given(st.text(min_size=1), st.dictionaries(st.sampled_from(["token_type", "expires_in", "client_info"]), VALUES))
def test_a_token_is_never_in_the_message_of_an_error(tail: str, members: dict[str, Any]) -> None:
    token = "hidden-token" + tail
    try:
        process(answer(**({"access_token": token} | members)), "User.Read", assertion=ALICE)
    except AuthenticationError as error:
        assert_says_nothing(error, "hidden-token")


@given(st.text(max_size=40))
def test_any_retry_after_is_a_time_that_is_not_negative_or_none(value: str) -> None:
    seconds = parse_retry_after(value, NOW)
    assert seconds is None or seconds >= 0
