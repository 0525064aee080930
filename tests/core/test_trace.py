from __future__ import annotations

import pytest

from obo_middleware._trace import traceparent

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize("value", [TRACE, TRACE.replace("00-4", "01-4"), TRACE[:-2] + "00"])
def test_a_well_formed_trace_goes_on(value: str) -> None:
    assert traceparent([value]) == value


@pytest.mark.attack(170)
@pytest.mark.parametrize(
    "value",
    [
        *("", "c4n4ry", TRACE.upper(), TRACE + "-more", " " + TRACE, TRACE + "\n", TRACE[:-1], TRACE + "0"),
        *("ff" + TRACE[2:], TRACE.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32)),
        *(TRACE.replace("00f067aa0ba902b7", "0" * 16), TRACE.replace("-", "_"), TRACE.replace("4bf9", "4bg9")),
        TRACE.replace("4bf9", "\u0664bf"),
    ],
)
def test_anything_else_stays(value: str) -> None:
    assert traceparent([value]) is None


def test_of_several_traces_none_goes_on() -> None:
    assert traceparent([]) is None
    assert traceparent([TRACE, TRACE]) is None
