"""Tokens made of a good one by changes before and after signing; and an oracle that tells which of them are good.

The oracle shares no code with the product and is written from the list of what a token must be.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from tests.core.foreign_issuer import ForeignKey
from tests.core.kit import NOW
from tests.fuzz.reader import Reader, changed_bytes, mutated
from tests.fuzz.world import AUDIENCE, SCOPE, TRUSTED, World

HEADERS = ("alg", "typ", "kid", "crit", "b64", "zip", "cty", "jku", "jwk", "x5u", "x5c", "nonce", "enc", "p2c")
CLAIMS = (
    *("aud", "iss", "tid", "ver", "exp", "nbf", "iat", "sub", "oid", "scp", "roles", "azp", "appid", "idtyp", "cnf"),
    *("nonce", "at_hash", "c_hash", "scope", "client_id", "acct", "xms_cc", "token_use", "typ", "gty", "sid", "acrs"),
    *("preferred_username", "cid"),
)
RAW = b"\xff"
"""The first byte of an input that is a token as it is."""


def token_from(data: bytes, world: World) -> str:
    """Return a token made as the bytes say."""
    if data[:1] == RAW:
        return data[1:].decode("latin-1")
    reader = Reader(data)
    issuing = reader.pick(world.issuings)
    # Mostly the claims alone: whatever is wrong with a header hides what is wrong with them.
    header = json.dumps(issuing.header).encode()
    if reader.one_in(4):
        header = _json_bytes(reader, mutated(reader, issuing.header, HEADERS))
    payload = _json_bytes(reader, mutated(reader, issuing.claims, CLAIMS))
    key = world.forger if reader.one_in(8) else issuing.key
    token = key.sign(header, payload)  # type: ignore[arg-type]  # bytes serve for the header too
    if reader.one_in(4):
        token = changed_bytes(reader, token.encode()).decode("latin-1")
    return token


def _json_bytes(reader: Reader, value: Any) -> bytes:
    text = json.dumps(value)
    match reader.below(8):
        case 1:
            return json.dumps(value, ensure_ascii=False, indent=1).encode("utf-8", "surrogatepass")
        case 2:
            name = reader.pick((*HEADERS, *CLAIMS))
            return f'{{"{name}":{json.dumps(reader.value())},{text[1:]}'.encode()
        case 3:
            return text.encode(reader.pick(("utf-16", "utf-8-sig", "utf-32", "utf-16-le")))
        case 4:
            return changed_bytes(reader, text.encode())
        case 5:
            deep = reader.pick((5, 500, 100_000))
            return text[:-1].encode() + b',"deep":' + b"[" * deep + b"]" * deep + b"}"
        case 6:
            return text[:-1].encode() + b',"long":' + b"9" * reader.pick((5, 309, 5_000)) + b"}"
        case _:
            return text.encode()


# The oracle


def is_good(token: str, world: World) -> bool:
    """Tell whether a token is one that the API must let in: rightly signed, and every claim as it must be."""
    try:
        first, second, third = token.split(".")
        header, claims = _read(first), _read(second)
        signature = _plain(third)
    except (ValueError, RecursionError):
        return False
    entra, trusted = world.issuings
    issuing = trusted if claims.get("iss") == TRUSTED else entra
    if not _good_header(header, issuing.key) or not _good_always(claims):
        return False
    if not _signed(issuing.key, f"{first}.{second}".encode(), signature):
        return False
    return _good_trusted(header, claims) if issuing is trusted else _good_entra(claims, world)


def _plain(segment: str) -> bytes:
    data = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    if not segment or base64.urlsafe_b64encode(data).decode().rstrip("=") != segment:
        raise ValueError("not base64url")
    return data


def _read(segment: str) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) < len(pairs):
            raise ValueError("twice")
        return dict(pairs)

    def never(name: str) -> None:
        raise ValueError(name)

    value = json.loads(_plain(segment).decode("utf-8"), object_pairs_hook=once, parse_constant=never)
    if not isinstance(value, dict):
        raise ValueError("no object of JSON")
    return value


def _good_header(header: dict[str, Any], key: ForeignKey) -> bool:
    types = (None, "JWT", "jwt", "at+jwt", "application/at+jwt")
    right = header.get("alg") == key.algorithm and header.get("kid") == key.kid and header.get("typ") in types
    return right and not any(name in header for name in HEADERS[3:])


def _good_always(claims: dict[str, Any]) -> bool:
    late = [claims.get(name, NOW) for name in ("nbf", "iat")]
    times = [claims.get("exp"), *late]
    if not all(type(time) in (int, float) and 0 <= time < 253_402_300_800 for time in times):
        return False
    return times[0] > NOW and max(late) <= NOW + 60 and "cnf" not in claims and _text(claims, "sub")


def _text(claims: dict[str, Any], name: str, *, may_lack: bool = False) -> bool:
    return isinstance(claims.get(name, "" if may_lack else None), str) and (may_lack or claims[name] != "")


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _good_entra(claims: dict[str, Any], world: World) -> bool:
    settings = world.settings
    tenant, client = settings.tenant_id, settings.client_id
    home = settings.authority_url
    if (claims.get("ver"), claims.get("tid")) != ("2.0", tenant) or claims.get("iss") != f"{home}/{tenant}/v2.0":
        return False
    if not isinstance(claims.get("aud"), str) or claims["aud"] not in (client, f"api://{client}"):
        return False
    if any(name in claims for name in ("nonce", "at_hash", "c_hash")) or claims.get("idtyp") == "app":
        return False
    whole = _text(claims, "oid") and _text(claims, "scp") and _texts(claims.get("roles", []))
    named = all(_text(claims, name, may_lack=True) for name in ("azp", "appid", "idtyp"))
    return whole and named and SCOPE in claims["scp"].split()


def _good_trusted(header: dict[str, Any], claims: dict[str, Any]) -> bool:
    audience = claims.get("aud")
    audiences: list[Any] = audience if isinstance(audience, list) and _texts(audience) else [audience]
    scopes, roles = claims.get("scope", []), claims.get("roles", [])
    if AUDIENCE not in audiences or not (_texts(scopes) or isinstance(scopes, str)):
        return False
    if not (_texts(roles) or isinstance(roles, str)) or not _text(claims, "client_id", may_lack=True):
        return False
    if claims.get("token_use", "access") != "access" or claims.get("typ") in ("ID", "Refresh", "Offline"):
        return False
    untyped = header.get("typ") not in ("at+jwt", "application/at+jwt")
    if untyped and any(name in claims for name in ("nonce", "at_hash", "c_hash")):
        return False
    words = scopes.split(" ") if isinstance(scopes, str) else scopes
    return SCOPE in words and not _is_own(claims)


def _is_own(claims: dict[str, Any]) -> bool:
    """Tell whether a token is an application's own, as RFC 9068 section 2.2, Auth0, Keycloak or Entra have it."""
    clients = [client for name in ("client_id", "azp", "appid", "cid") if (client := claims.get(name))]
    grants = claims["gty"] if isinstance(claims.get("gty"), list) else [claims.get("gty")]
    if claims.get("idtyp") == "app" or ("scp" not in claims and claims.get("oid") == claims["sub"]):
        return True
    if "client-credentials" in grants or "client_credentials" in grants:
        return True
    accounts = [f"service-account-{client}".lower() for client in clients]
    return claims.get("preferred_username") in accounts or any(claims["sub"] in (c, f"{c}@clients") for c in clients)


def _signed(key: ForeignKey, text: bytes, signature: bytes) -> bool:
    public = key.private.public_key()
    try:
        if isinstance(public, rsa.RSAPublicKey):
            public.verify(signature, text, padding.PKCS1v15(), hashes.SHA256())
            return True
        if len(signature) != 64:
            return False
        r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
        public.verify(utils.encode_dss_signature(r, s), text, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True
