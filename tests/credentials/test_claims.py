from __future__ import annotations

import json

import pytest

from credentials._claims import with_capability

CP1 = {"values": ["CP1"]}


@pytest.mark.parametrize("claims", [None, "", "{}", '{"access_token": null}', '{"access_token": {}}'])
def test_the_capability_alone(claims: str | None) -> None:
    assert json.loads(with_capability(claims)) == {"access_token": {"xms_cc": CP1}}


def test_everything_else_stays() -> None:
    claims = '{"id_token": {"x": null}, "access_token": {"nbf": {"value": "1"}, "xms_cc": {"values": ["other"]}}}'
    merged = json.loads(with_capability(claims))
    assert merged == {"id_token": {"x": None}, "access_token": {"nbf": {"value": "1"}, "xms_cc": CP1}}


def test_it_is_written_as_azure_identity_writes_it() -> None:
    expected = '{"access_token": {"essential": "true", "xms_cc": {"values": ["CP1"]}}}'
    assert with_capability('{"access_token": {"essential": "true"}}') == expected


@pytest.mark.parametrize("claims", ["no", "[]", "7", '{"a":1,"a":2}', '{"access_token": []x', "\ud800"])
def test_claims_that_are_no_json_object_are_refused(claims: str) -> None:
    with pytest.raises(ValueError, match="claims must be the JSON text of an object") as caught:
        with_capability(claims)
    assert type(caught.value) is ValueError


@pytest.mark.parametrize("claims", ['{"access_token": 7}', '{"access_token": "x"}', '{"access_token": [1]}'])
def test_an_access_token_that_is_no_object_is_refused(claims: str) -> None:
    with pytest.raises(ValueError, match="access_token"):
        with_capability(claims)
