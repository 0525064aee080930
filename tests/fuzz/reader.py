"""From bytes to choices and values: what a fuzzer changes in its bytes, it changes in one input of the product.

A reader whose bytes are used up gives 0, the first choice, and empty texts: the first choice is the plain one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

T = TypeVar("T")

NUMBERS: tuple[Any, ...] = (
    *(0, 1, -1, 60, 2**31, 2**53, 2**63, 10**18, 253_402_300_799, 253_402_300_800, 1_800_000_000, -(10**30)),
    *(0.5, -0.0, 1e15, 1e308, 1_799_999_999.9, float("nan"), float("inf"), float("-inf")),
)
TEXTS = (
    *("", " ", "a", "0", "3600", "null", "\x00", "\r\n", "\u0130", "\U0001f600", "\ud800", "\x1b[2J", '"', "\\", "../"),
    *("Bearer", "error", "claims", "{tenantid}", "common", "9188040d-6c67-4c5b-b112-36a304b66dad", "https://[::1"),
    *("https://evil.example/keys", "cp1", "app", "a b  c\td", "x" * 300),
)


class Reader:
    """Read bytes as choices and values, from front to back."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        self._at += count
        return taken

    def rest(self) -> bytes:
        return self.take(len(self._data))

    def below(self, bound: int) -> int:
        """Return a number from 0 to below a bound of at most 65 536."""
        return int.from_bytes(self.take(1 if bound <= 256 else 2), "big") % bound

    def one_in(self, count: int) -> bool:
        return self.below(count) == count - 1

    def pick(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]

    def chunk(self) -> bytes:
        return self.take(self.below(64))

    def text(self) -> str:
        """Return any text, also with halves of characters, which JSON can carry."""
        return self.chunk().decode("utf-8", "surrogateescape")

    def value(self, depth: int = 3) -> Any:
        """Return any value that JSON may have, and the three that only Python's JSON has."""
        kind = self.below(9 if depth else 7)
        if kind < 3:
            return (None, True, False)[kind]
        if kind < 5:
            return self.pick(NUMBERS) if kind == 3 else self.pick(TEXTS)
        if kind < 7:
            return self.text() if kind == 5 else int.from_bytes(self.take(4), "big", signed=True)
        if kind == 7:
            return [self.value(depth - 1) for _ in range(self.below(4))]
        return {self._name(): self.value(depth - 1) for _ in range(self.below(4))}

    def _name(self) -> str:
        return self.text() or self.pick(TEXTS)


def mutated(reader: Reader, value: Any, names: Sequence[str] = ()) -> Any:
    """Return JSON with up to three changes; ``names`` are of members that might be there."""
    for _ in range(reader.below(4)):
        value = _changed(reader, value, names)
    return value


def _changed(reader: Reader, value: Any, names: Sequence[str]) -> Any:
    if isinstance(value, dict):
        return _changed_object(reader, value, names)
    if isinstance(value, list) and value:
        index = reader.below(len(value))
        change = reader.below(4)
        if change == 0:
            return [*value[:index], _changed(reader, value[index], names), *value[index + 1 :]]
        return [value[:index] + value[index + 1 :], [*value, value[index]], [*value, reader.value()]][change - 1]
    if isinstance(value, str) and value:
        return changed_bytes(reader, value.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogateescape")
    return reader.value()


def _changed_object(reader: Reader, value: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    known = list(dict.fromkeys([*value, *names]))
    name = reader.pick(known) if known else reader.text()
    match reader.below(6):
        case 0:
            new = reader.value()
        case 1:
            return {other: kept for other, kept in value.items() if other != name}
        case 2:
            new = _changed(reader, value.get(name), names)
        case 3:
            new = value.get(reader.pick(known)) if known else None
        case 4:
            new = [value.get(name)]
        case _:
            name, new = reader.text(), reader.value()
    return value | {name: new}


def changed_bytes(reader: Reader, data: bytes) -> bytes:
    """Return bytes with one piece replaced, inserted, left out or doubled."""
    start = reader.below(min(len(data), 65_535) + 1)
    length = reader.below(8)
    new = [reader.chunk(), b"", data[start : start + length] * 2, data[start : start + 1] + reader.take(1)]
    return data[:start] + reader.pick(new) + data[start + length :]
