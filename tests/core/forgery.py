"""Tokens that must be refused, by their numbers in the list of attacks and a name.

A name without a number is of a rule that the list does not have. ``params`` makes parameters of tests of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from obo_middleware.testing import LocalEntra, foreign_key
from tests.core.forged_crypto import Forge as Forge
from tests.core.forged_crypto import deflated, encrypted, hmac_signed, nested, otherwise_signed
from tests.core.kit import claims_of, encode, header_of, signature_of, signed, signer

_NUMBERS = re.compile(r"[0-9]+(?:, [0-9]+)*(?= )")


def params(forged: Mapping[str, Any]) -> list[Any]:
    """Return what is forged as parameters of a test, each with the marks of the cases that its name begins with."""
    return [pytest.param(forge, id=name, marks=attacks_in(name)) for name, forge in forged.items()]


def attacks_in(name: str) -> list[pytest.MarkDecorator]:
    """Return the mark of the cases whose numbers a name begins with, if it begins with any."""
    numbers = _NUMBERS.match(name)
    return [pytest.mark.attack(*map(int, numbers[0].split(", ")))] if numbers else []


def good(entra: LocalEntra) -> str:
    return entra.sign_in("alice")


def with_header(**changes: Any) -> Forge:
    """Sign rightly, with other headers; None leaves one out."""
    return lambda entra: entra.sign_in("alice", headers=changes)


def with_claims(**changes: Any) -> Forge:
    """Sign rightly, with other claims; None leaves one out."""
    return lambda entra: entra.sign_in("alice", **changes)


def each(title: str, name: str, *values: Any, forge: Callable[..., Forge] = with_claims) -> dict[str, Forge]:
    """Forge one token with each value of a claim, or of a header."""
    return {f"{title} {value!r}"[:60]: forge(**{name: value}) for value in values}


def with_issuer(form: str) -> Forge:
    return lambda entra: entra.sign_in("alice", iss=form.format(a=entra.authority, t=entra.tenant_id))


def null_claim(name: str) -> Forge:
    """Sign rightly, with a claim that is null."""
    return lambda entra: entra.sign(claims_of(good(entra)) | {name: None})


def raw_payload(change: Callable[[str], bytes]) -> Forge:
    """Sign rightly, with other bytes of JSON."""

    def forge(entra: LocalEntra) -> str:
        token = good(entra)
        return signed(signer(entra), header_of(token), change(json.dumps(claims_of(token))))

    return forge


def raw_header(change: Callable[[str], bytes]) -> Forge:
    def forge(entra: LocalEntra) -> str:
        token = good(entra)
        return signed(signer(entra), change(json.dumps(header_of(token))), claims_of(token))

    return forge


def reworked(change: Callable[[str, str, str], str]) -> Forge:
    """Put the three segments of a good token together in another way."""
    return lambda entra: change(*good(entra).split("."))


def by_the_forger(**header: Any) -> Forge:
    """Sign with a key that is not the provider's."""

    def forge(entra: LocalEntra) -> str:
        kid = signer(entra).kid
        return entra.sign_in("alice", key=foreign_key(), headers={"kid": kid, "x5t": kid} | header)

    return forge


def by_the_forger_and_deep(segment: str) -> Forge:
    """Nest as deeply as fits a header of 16 KB, which not every Python refuses, and sign with the forger's key."""

    def forge(entra: LocalEntra) -> str:
        token = good(entra)
        texts = {"header": json.dumps(header_of(token)), "payload": json.dumps(claims_of(token))}
        texts[segment] = f'{{"a":{"[" * 5_000}{"]" * 5_000},{texts[segment][1:]}'
        return signed(foreign_key(), texts["header"].encode(), texts["payload"].encode())

    return forge


def with_last_bits(entra: LocalEntra) -> str:
    """Set bits behind the end of the signature, which decoders tend to ignore."""
    token = good(entra)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return token[:-1] + alphabet[alphabet.index(token[-1]) | 1]


def signature_of_another(entra: LocalEntra) -> str:
    return good(entra).rpartition(".")[0] + "." + entra.sign_in("bob").rpartition(".")[2]


def detached(entra: LocalEntra) -> str:
    header, _payload, signature = good(entra).split(".")
    return f"{header}..{signature}"


def unencoded_payload(entra: LocalEntra) -> str:
    """Use RFC 7797: the payload is signed as it is."""
    token = good(entra)
    header = encode(json.dumps(header_of(token) | {"b64": False, "crit": ["b64"]}).encode())
    signature = signature_of(signer(entra), f"{header}.".encode() + json.dumps(claims_of(token)).encode())
    return f"{header}.{token.split('.')[1]}.{encode(signature)}"


DEEP = "[" * 100_000 + "]" * 100_000
DIGITS = "9" * 5_000

STRUCTURE: dict[str, Forge] = {
    "22 opaque": lambda _: "opaque-token",
    "22 SAML assertion": lambda _: encode(b'<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"/>'),
    "82 refresh token": lambda _: f"1.AXoA{'x' * 40}.AgAB{'y' * 700}-z",
    "36 five parts": reworked(lambda h, p, s: f"{h}.{p}.{s}.{p}.{s}"),
    "36, 37 JWE": encrypted(),
    "36 JWE, not deflated": encrypted(zip=None),
    "36 JWE without a key": encrypted(alg="dir"),
    "36, 38 JWE by a password": encrypted(alg="PBES2-HS256+A128KW", p2c=2**31 - 1, p2s="AAAAAAAAAAA"),
    "37 deflated payload": deflated,
    "50 nested token": nested,
    "41 one segment": reworked(lambda h, p, s: h),
    "41 two segments": reworked(lambda h, p, s: f"{h}.{p}"),
    "41 four segments": reworked(lambda h, p, s: f"{h}.{p}.{s}.{s}"),
    "41 empty segments": lambda _: "..",
    "41 a dot": lambda _: ".",
    "41 header only": reworked(lambda h, p, s: f"{h}.."),
    "41 empty header": reworked(lambda h, p, s: f".{p}.{s}"),
    "42 signature stripped": reworked(lambda h, p, s: f"{h}.{p}."),
    "35 detached payload": detached,
    "43 bits behind the end": with_last_bits,
    "44 padding": reworked(lambda h, p, s: f"{h}.{p}.{s}=="),
    "44 padded header": reworked(lambda h, p, s: f"{h}=.{p}.{s}"),
    "44 plus": reworked(lambda h, p, s: f"{h}.{p}.+{s[1:]}"),
    "44 slash": reworked(lambda h, p, s: f"{h}.{p}./{s[1:]}"),
    "44 length that no bytes have": reworked(lambda h, p, s: f"{h}.{p}.{s[:-1]}"),
    "white space": reworked(lambda h, p, s: f"{h}.{p}.{s}\n"),
    "45 deep payload": raw_payload(lambda text: f'{{"a":{DEEP},{text[1:]}'.encode()),
    "45 deep header": raw_header(lambda text: f'{{"a":{DEEP},{text[1:]}'.encode()),
    "46 5000 digits": raw_payload(lambda text: f'{{"a":{DIGITS},{text[1:]}'.encode()),
    "47 aud twice": raw_payload(lambda text: f'{{"aud":"x",{text[1:]}'.encode()),
    "47 aud twice, ours first": raw_payload(lambda text: f'{text[:-1]},"aud":"x"}}'.encode()),
    "47 aud twice, once escaped": raw_payload(lambda text: f'{{"\\u0061ud":"x",{text[1:]}'.encode()),
    "47 exp twice": raw_payload(lambda text: f'{{"exp":1,{text[1:]}'.encode()),
    "47 alg twice": raw_header(lambda text: f'{{"alg":"none",{text[1:]}'.encode()),
    "47 alg twice, ours first": raw_header(lambda text: f'{text[:-1]},"alg":"none"}}'.encode()),
    "47 kid twice": raw_header(lambda text: f'{{"kid":"x",{text[1:]}'.encode()),
    "47 nested member twice": raw_payload(lambda text: f'{{"a":{{"b":1,"b":1}},{text[1:]}'.encode()),
    "48 UTF-16 payload": raw_payload(lambda text: text.encode("utf-16")),
    "48 UTF-16 payload without BOM": raw_payload(lambda text: text.encode("utf-16-le")),
    "48 UTF-32 payload": raw_payload(lambda text: text.encode("utf-32")),
    "48 BOM payload": raw_payload(lambda text: text.encode("utf-8-sig")),
    "48 UTF-16 header": raw_header(lambda text: text.encode("utf-16-le")),
    "48 BOM header": raw_header(lambda text: text.encode("utf-8-sig")),
    "48 latin-1": raw_payload(lambda text: text.replace("Alice", "\u00c4lice").encode("latin-1")),
    "49 array": raw_payload(lambda text: f"[{text}]".encode()),
    "49 string": raw_payload(lambda text: json.dumps(text).encode()),
    "49 null header": raw_header(lambda _: b"null"),
    "78 NaN": raw_payload(lambda text: f'{{"a":NaN,{text[1:]}'.encode()),
    "78 Infinity": raw_payload(lambda text: f'{{"a":-Infinity,{text[1:]}'.encode()),
}

HEADERS: dict[str, Forge] = {
    "23 alg none": with_header(alg="none"),
    "23 alg none, unsigned": lambda entra: f"{with_header(alg='none')(entra).rpartition('.')[0]}.AA",
    **each("24 alg", "alg", "nOnE", "NONE", "none ", "", "rs256", forge=with_header),
    **{f"25 HS256 with {form}": hmac_signed(form) for form in ("pem", "pem stripped", "pkcs1", "der", "ssh", "x509")},
    **{f"26 HS256 with {form}": hmac_signed(form) for form in ("jwk", "jwk canonical")},
    **each("28 alg", "alg", "PS256", "ES256", "RS384", "RS512", "EdDSA", forge=with_header),
    **{f"28 {algorithm}, rightly signed": otherwise_signed(algorithm) for algorithm in ("PS256", "RS512", "ES256")},
    "alg list": with_header(alg=["RS256"]),
    "alg missing": with_header(alg=None),
    "29 jwk": with_header(jwk=foreign_key().jwk),
    "30 jku": with_header(jku="https://evil.example/keys"),
    "31 x5u": with_header(x5u="http://169.254.169.254/latest"),
    "32 x5c": with_header(x5c=foreign_key().jwk["x5c"]),
    **each("33 crit", "crit", ["x"], forge=with_header),
    **each("34 crit", "crit", [], "b64", ["alg"], ["kid", "typ"], ["exp"], {}, forge=with_header),
    "35 b64 false": with_header(b64=False),
    "35 b64 false, critical": unencoded_payload,
    "37 zip": with_header(zip="DEF"),
    "38 PBES2": with_header(alg="PBES2-HS256+A128KW", p2c=2**31, p2s="AAAA", enc="A128GCM"),
    "38 p2c": with_header(p2c=2**31),
    "38 p2s": with_header(p2s="AAAA"),
    "enc": with_header(enc="A256GCM"),
    "50 cty": with_header(cty="JWT"),
    "54 kid empty": with_header(kid=""),
    "54 kid of 10 KB": with_header(kid="k" * 10_240),
    "55 kid missing": with_header(kid=None),
    "55 kid a number": with_header(kid=5),
    "55 kid a list": with_header(kid=["k"]),
    **each("57 typ", "typ", "secevent+jwt", "logout+jwt", "dpop+jwt", "oauth-id-jag+jwt", forge=with_header),
    **each("57 typ", "typ", "application/secevent+jwt", "token-introspection+jwt", "JOSE", "", forge=with_header),
    **each("57 typ", "typ", 5, ["JWT"], {}, forge=with_header),
    "65 nonce in the header": with_header(nonce="n"),
    **each("67 ver", "ver", "3.0", "", 2.0, ["2.0"], {}, True),
    "67 ver missing": with_claims(ver=None),
}

KEYS: dict[str, Forge] = {
    "29 own jwk": by_the_forger(jwk=foreign_key().jwk),
    "42 signature of another token": signature_of_another,
    "42 signature of another payload": reworked(lambda h, p, s: f"{h}.{encode(b'{}')}.{s}"),
    **{f"45 deep {segment} in 16 KB": by_the_forger_and_deep(segment) for segment in ("header", "payload")},
    "51 another key under our kid": by_the_forger(),
    "75 key of one application": lambda entra: entra.sign_in("alice", key=foreign_key()),
    "51 another key under its own kid": by_the_forger(kid=foreign_key().kid),
    "42 signature too short": reworked(lambda h, p, s: f"{h}.{p}.{s[:8]}"),
    **each("54 kid", "kid", "../../dev/null", "' OR 1=1 --", "a\nb", "k" * 256, "\x1b[0m", forge=with_header),
}
