"""Tokens of an issuer other than Entra that must be refused, by the number in the list of attacks and a name.

The issuer signs with ES256 or EdDSA. A name without a number is of a rule that the list does not have.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.core.foreign_issuer import AUDIENCE, ForeignIssuer, key_pair
from tests.core.kit import encode

Forge = Callable[[ForeignIssuer], str]
DIGITS = "9" * 5_000
LOGOUT = "http://schemas.openid.net/event/backchannel-logout"


def with_header(**headers: Any) -> Forge:
    return lambda issuer: issuer.token(headers=headers)


def with_claims(**claims: Any) -> Forge:
    return lambda issuer: issuer.token(**claims)


def each(title: str, name: str, *values: Any, forge: Callable[..., Forge] = with_claims) -> dict[str, Forge]:
    return {f"{title} {value!r}"[:60]: forge(**{name: value}) for value in values}


def null_claim(name: str) -> Forge:
    return lambda issuer: issuer.key.sign(issuer.header(), issuer.claims() | {name: None})


def in_time(name: str, seconds: int) -> Forge:
    """Put a claim that many seconds after the token's own time."""
    return lambda issuer: issuer.token(**{name: issuer.claims()["iat"] + seconds})


def in_url(change: Callable[[str], Any]) -> Forge:
    return lambda issuer: issuer.token(iss=change(issuer.url))


def of_id_token(name: str, typ: str | None) -> Forge:
    """Add a claim that only ID tokens have, where the header does not say that this is an access token."""
    claim: dict[str, Any] = {name: "x"}
    return lambda issuer: issuer.token(headers={"typ": typ}, **claim)


def of_another_kind(**claims: Any) -> Forge:
    """Make a token as of an OpenID provider that tells of a logout, with nothing else that gives it away."""

    def forge(issuer: ForeignIssuer) -> str:
        payload = issuer.claims(scope=None, client_id=None, sid="s", jti="1") | claims
        return issuer.key.sign(issuer.header(typ="JWT"), payload)

    return forge


def reworked(change: Callable[[str, str, str], str]) -> Forge:
    """Put the three segments of a good token together in another way."""
    return lambda issuer: change(*issuer.token().split("."))


def raw_payload(change: Callable[[str], bytes]) -> Forge:
    return lambda issuer: issuer.key.sign(issuer.header(), change(json.dumps(issuer.claims())))


def hmac_signed(form: str) -> Forge:
    """Sign with HMAC and the public key as its secret (algorithm confusion)."""

    def forge(issuer: ForeignIssuer) -> str:
        public = issuer.key.private.public_key()
        secret = {
            "jwk": json.dumps(issuer.key.jwk).encode(),
            "pem": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            "der": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            "ssh": public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        }[form]
        header = encode(json.dumps(issuer.header(alg="HS256")).encode())
        text = f"{header}.{issuer.token().split('.')[1]}"
        return f"{text}.{encode(hmac.digest(secret, text.encode(), hashlib.sha256))}"

    return forge


def by_another_key(**headers: Any) -> Forge:
    """Sign with a key that is not the issuer's, under the issuer's own kid unless told otherwise."""
    return lambda issuer: issuer.token(key=key_pair(issuer.key.algorithm, 9), headers=headers)


def own_jwk(issuer: ForeignIssuer) -> str:
    forger = key_pair(issuer.key.algorithm, 9)
    return issuer.token(key=forger, headers={"jwk": forger.jwk})


def der_signature(issuer: ForeignIssuer) -> str:
    """Write the signature as X.509 does, which only means anything for ECDSA."""
    text, _, signature = issuer.token().rpartition(".")
    raw = jwt.utils.base64url_decode(signature)
    half = len(raw) // 2
    der = encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))
    return f"{text}.{encode(der)}"


STRUCTURE: dict[str, Forge] = {
    "23 alg none, unsigned": lambda issuer: f"{with_header(alg='none')(issuer).rpartition('.')[0]}.AA",
    **each("23, 24 alg", "alg", "none", "nOnE", "NONE", "none ", forge=with_header),
    **{f"25 HS256 with {form}": hmac_signed(form) for form in ("pem", "der", "ssh")},
    "26 HS256 with jwk": hmac_signed("jwk"),
    **each("28 alg", "alg", "RS256", "PS256", "ES384", "ES256K", "Ed25519", "es256", "eddsa", forge=with_header),
    **each("alg", "alg", None, 5, ["ES256", "EdDSA"], {}, forge=with_header),
    "29 own jwk": own_jwk,
    "30 jku": with_header(jku="https://evil.example/keys"),
    "31 x5u": with_header(x5u="http://169.254.169.254/latest"),
    "32 x5c": with_header(x5c=["AAAA"]),
    **each("33, 34 crit", "crit", ["x"], [], "b64", forge=with_header),
    "35 b64": with_header(b64=False),
    "37 zip": with_header(zip="DEF"),
    "41 two segments": reworked(lambda h, p, s: f"{h}.{p}"),
    "42 signature stripped": reworked(lambda h, p, s: f"{h}.{p}."),
    "44 padding": reworked(lambda h, p, s: f"{h}.{p}.{s}=="),
    "46 5000 digits": raw_payload(lambda text: f'{{"a":{DIGITS},{text[1:]}'.encode()),
    "47 aud twice": raw_payload(lambda text: f'{{"aud":"x",{text[1:]}'.encode()),
    "48 BOM": raw_payload(lambda text: text.encode("utf-8-sig")),
    "49 array": raw_payload(lambda text: f"[{text}]".encode()),
    "50 cty": with_header(cty="JWT"),
    **each("54 kid", "kid", "", "k" * 10_240, forge=with_header),
    **each("55 kid", "kid", None, 5, ["k"], forge=with_header),
    **each("57 typ", "typ", "secevent+jwt", "logout+jwt", "dpop+jwt", "oauth-id-jag+jwt", "", 5, forge=with_header),
    "74 iss of the attacker": with_claims(iss="https://evil.example"),
    **{
        f"73 iss {title}": in_url(change)
        for title, change in {
            "one short": lambda url: url[:-1],
            "with a slash more": lambda url: url + "/",
            "in other case": str.upper,
            "by another scheme": lambda url: url.replace("http:", "https:"),
            "in a list": lambda url: [url],
            "with a suffix": lambda url: url + ".evil.example",
        }.items()
    },
    "73 iss missing": with_claims(iss=None),
    "73 iss a number": with_claims(iss=5),
    "73 iss null": null_claim("iss"),
}
"""What is refused before anything is asked for."""

SIGNATURE: dict[str, Forge] = {
    "42 of another token": lambda issuer: ".".join(
        [*issuer.token().split(".")[:2], issuer.token(sub="bob").split(".")[2]]
    ),
    "42 of another payload": reworked(lambda h, p, s: f"{h}.{encode(b'{}')}.{s}"),
    "42 one byte short": reworked(lambda h, p, s: f"{h}.{p}.{s[:-2]}"),
    "42 all zero": reworked(lambda h, p, s: f"{h}.{p}.{encode(bytes(64))}"),
    "42 all ones": reworked(lambda h, p, s: f"{h}.{p}.{encode(bytes([255]) * 64)}"),
    "42 in DER": der_signature,
    "51 another key under our kid": by_another_key(),
    "51 another key under its own kid": by_another_key(kid="another"),
    **each("54 kid", "kid", "../../dev/null", "' OR 1=1 --", "a\nb", "\x1b[0m", forge=with_header),
}

CLAIMS: dict[str, Forge] = {
    **each("60 aud", "aud", "https://other.example", ["https://other.example"]),
    **each("61 aud", "aud", None, [], 5, True, {}, ""),
    "61 aud null": null_claim("aud"),
    **each("63 aud", "aud", AUDIENCE + ".evil", AUDIENCE.upper(), AUDIENCE[:-1], AUDIENCE + "/", f" {AUDIENCE}"),
    **each("64 aud", "aud", [[AUDIENCE]], [AUDIENCE, 5], [AUDIENCE, None], {AUDIENCE: 1}),
    "76 expired": in_time("exp", 0),
    "77 exp missing": with_claims(exp=None),
    **each("78 exp", "exp", "9999999999", True, 1e300, int("9" * 300), [1], -1),
    "79 nbf ahead": in_time("nbf", 61),
    "79 iat ahead": in_time("iat", 61),
    "79 nbf text": with_claims(nbf="1"),
    "79 iat null": null_claim("iat"),
    **{
        f"81 {name} of an ID token, typ {typ}": of_id_token(name, typ)
        for name in ("nonce", "at_hash", "c_hash")
        for typ in ("JWT", None)
    },
    **each("81 typ claim", "typ", "ID"),
    **each("82 typ claim", "typ", "Refresh", "Offline"),
    **each("57 typ claim", "typ", "Logout"),
    **each("57, 82 events", "events", {LOGOUT: {}}, {}, None, forge=of_another_kind),
    "57, 82 events in an access token": with_claims(events={LOGOUT: {}}),
    **each("81 token_use", "token_use", "id"),
    **each("82 token_use", "token_use", "refresh", 5, []),
    **each("88 scope", "scope", 5, {}, True, [5], [["a"]], [None]),
    "88 scope null": null_claim("scope"),
    **each("roles", "roles", 5, {"a": 1}, [5], True),
    "roles null": null_claim("roles"),
    **each("client_id", "client_id", 5, ["client-1"], {}),
    **each("96 sub", "sub", "", None, 5, ["alice"]),
    **each("98 cnf", "cnf", {"jkt": "x"}, {"x5t#S256": "x"}, {}),
    "98 cnf null": null_claim("cnf"),
}

ALL = STRUCTURE | SIGNATURE | CLAIMS
