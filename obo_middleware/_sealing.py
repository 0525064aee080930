"""How entries of the shared cache are named and sealed, so that the store learns nothing and can change nothing.

Facts: AES-256-GCM (NIST SP 800-38D), HKDF (RFC 5869), keyed BLAKE2b (RFC 7693), at a third of the cost of an HMAC.

Rules of this file:

1. A name is a keyed hash: without the key nobody can tell whose entry it is, or look for one.
2. A value is bound to its name and to this format: moved under another name it does not open.
3. What does not open is no error but nothing; who asked goes on without it.
4. The first key seals, every key opens, so that a key can be replaced while the entries live.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, Self

from credentials.kernel import Name, group_of

_FORMAT = b"\x01"
_NONCE = 12
_KEY_ID = 4
_SECRET = 32
_ENTRY, _GROUP = b"entry", b"group"
"""What a label is of."""
_LABEL = 18
"""Bytes of a hash in a name: 24 characters, and no two users in 2**70 share one by chance."""


@dataclass(frozen=True, slots=True)
class SecretKey:
    """Hold a secret of 32 bytes, as base64 text: ``openssl rand -base64 32`` makes one, and so does :meth:`generate`.

    Raises ``ValueError`` for any other text. The text stands in no ``repr``.
    """

    text: str = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) != _SECRET:
            raise ValueError("a SecretKey is 32 random bytes in base64: make one with `openssl rand -base64 32`.")

    @property
    def secret(self) -> bytes:
        """The secret's bytes."""
        text = self.text.strip() if isinstance(self.text, str) else ""
        try:
            return base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True)
        except (binascii.Error, ValueError):
            return b""

    @classmethod
    def generate(cls) -> Self:
        """Return a new random key."""
        return cls(base64.b64encode(os.urandom(_SECRET)).decode())


class Sealer(Protocol):
    """Describe how entries are named and sealed."""

    def names(self, key: bytes) -> tuple[Name, ...]:
        """Return the names of the entry of a cache key: the one to write first, then those it may still have."""

    def group_names(self, group: bytes) -> tuple[str, ...]:
        """Return the names that a user's group may have."""

    def seal(self, name: Name, data: bytes) -> bytes:
        """Return the data as the store may see it."""

    def open(self, name: Name, value: bytes) -> bytes | None:
        """Return the data, or None if the value was not sealed under that name by one of the keys."""


class _Key:
    """One secret's derived keys."""

    def __init__(self, secret: bytes) -> None:
        from cryptography.exceptions import InvalidTag  # late: without a store nobody needs them
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._failures = (InvalidTag, ValueError)
        self.id = _derived(secret, b"id")[:_KEY_ID]
        names = _derived(secret, b"names")
        self._hashes = {kind: hashlib.blake2b(kind, key=names, digest_size=_LABEL) for kind in (_ENTRY, _GROUP)}
        self._cipher = AESGCM(_derived(secret, b"values"))

    def label(self, kind: bytes, data: bytes) -> str:
        digest = self._hashes[kind].copy()  # half the cost of a new one
        digest.update(data)
        return _label(digest.digest())

    def seal(self, data: bytes, bound_to: bytes) -> bytes:
        nonce = os.urandom(_NONCE)
        return _FORMAT + self.id + nonce + self._cipher.encrypt(nonce, data, bound_to)

    def open(self, value: bytes, bound_to: bytes) -> bytes | None:
        body = value[len(_FORMAT) + _KEY_ID :]
        try:
            return self._cipher.decrypt(body[:_NONCE], body[_NONCE:], bound_to)
        except self._failures:
            return None


def _derived(secret: bytes, purpose: bytes) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(SHA256(), 32, salt=None, info=b"obo-middleware 1 " + purpose).derive(secret)


def _label(digest: bytes) -> str:
    return binascii.b2a_base64(digest, newline=False).decode()


def _named(key: bytes, label: Callable[[bytes, bytes], str]) -> Name:
    entry = label(_ENTRY, key)
    group = group_of(key)
    return Name(label(_GROUP, group) if group else entry, entry)


class SecretSealer:
    """Name by keyed hashes, and seal with AES-256-GCM."""

    def __init__(self, keys: Sequence[SecretKey]) -> None:
        self._keys = tuple(_Key(key.secret) for key in keys)

    def names(self, key: bytes) -> tuple[Name, ...]:
        """Return the names of an entry, one for each secret."""
        return tuple(_named(key, one.label) for one in self._keys)

    def group_names(self, group: bytes) -> tuple[str, ...]:
        """Return the names of a group, one for each secret."""
        return tuple(one.label(_GROUP, group) for one in self._keys)

    def seal(self, name: Name, data: bytes) -> bytes:
        """Return the data encrypted with the first key: format, key's id, nonce, ciphertext."""
        return self._keys[0].seal(data, _bound_to(name))

    def open(self, name: Name, value: bytes) -> bytes | None:
        """Return the data, or None for anything that none of the keys sealed under that name."""
        for key in self._keys:
            if value.startswith(_FORMAT + key.id):
                return key.open(value, _bound_to(name))
        return None


class PlainSealer:
    """Leave values as they are, for stores that nobody else can read; names and values still belong together."""

    def names(self, key: bytes) -> tuple[Name, ...]:
        """Return the one name of an entry."""
        return (_named(key, _plain_label),)

    def group_names(self, group: bytes) -> tuple[str, ...]:
        """Return the one name of a group."""
        return (_plain_label(_GROUP, group),)

    def seal(self, name: Name, data: bytes) -> bytes:
        """Return the data with its name before it."""
        return _bound_to(name) + data

    def open(self, name: Name, value: bytes) -> bytes | None:
        """Return the data, or None if it stands under another name than its own."""
        bound_to = _bound_to(name)
        return value[len(bound_to) :] if value.startswith(bound_to) else None


def _plain_label(kind: bytes, data: bytes) -> str:
    return _label(hashlib.blake2b(b"obo-middleware 1 " + kind + data, digest_size=_LABEL).digest())


def _bound_to(name: Name) -> bytes:
    # Labels have no colon, so that no two names are written alike.
    return _FORMAT + f"{name.group}:{name.entry}:".encode()
