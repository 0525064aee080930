from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credentials._strict_json import parse_object


@given(st.dictionaries(st.text(max_size=5), st.none() | st.booleans() | st.integers() | st.text(max_size=5)))
def test_a_json_object_is_what_it_says(members: dict[str, Any]) -> None:
    assert parse_object(json.dumps(members, ensure_ascii=False).encode()) == members


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b'{"a":1,"a":2}', "stands twice"),
        (b'{"x":{"a":1,"a":1}}', "stands twice"),
        (b'{"a":1,"\\u0061":2}', "stands twice"),
        (b'{"a":NaN}', "NaN"),
        (b'{"a":-Infinity}', "Infinity"),
        (b"[]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b"", "Expecting value"),
        (b"{}x", "Extra data"),
        (b"\xef\xbb\xbf{}", "Expecting value"),
        (b"\xff", "decode"),
        ("{}".encode("utf-16"), "decode"),
        (b'{"a":' * 200_000, "deep"),
        (b'{"a":' + b"1" * 5000 + b"}", "digit"),
    ],
)
def test_anything_else_is_a_value_error(data: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as caught:
        parse_object(data)
    assert type(caught.value) is ValueError
    assert caught.value.__cause__ is caught.value.__context__ is None


@given(st.binary(max_size=60))
def test_any_bytes_are_an_object_or_a_value_error(data: bytes) -> None:
    try:
        assert isinstance(parse_object(data), dict)
    except ValueError:
        return
