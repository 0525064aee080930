"""Key sets and metadata of issuers: judged one by one, and through all that an issuer does with them."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from credentials.kernel import HttpResponse, TransportError
from obo_middleware import TrustedIssuer
from obo_middleware._discovery import (
    Place,
    entra_place,
    process_document,
    trusted_place,
)
from obo_middleware._keys import SigningKey, process_jwks
from obo_middleware._metadata import KEYS_LIVE, Issuer
from obo_middleware._trusted_issuer import ALGORITHMS
from obo_middleware.errors import ConfigurationError, UpstreamUnavailableError
from tests.core.kit import Clock, nothing, play
from tests.fuzz.checks import check_log, check_text
from tests.fuzz.reader import Reader, changed_bytes, mutated
from tests.fuzz.world import AUDIENCE, TRUSTED, World, must, world

_JWK_MEMBERS = ("kty", "kid", "use", "alg", "key_ops", "n", "e", "crv", "x", "y", "d", "k", "issuer", "x5c")
_MEMBERS = ("issuer", "jwks_uri", "keys", "token_endpoint", "id_token_signing_alg_values_supported")
_OTHER_KEYS: tuple[dict[str, Any], ...] = (
    {"kty": "oct", "kid": "o", "k": "c2VjcmV0"},
    {"kty": "RSA", "kid": "short", "n": "w" * 171, "e": "AQAB"},
    {"kty": "RSA", "kid": "long", "n": "w" * 30_000 + "Q", "e": "AQAB"},
    {"kty": "OKP", "kid": "ed", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
    {"kty": "EC", "kid": "off", "crv": "P-256", "x": "A" * 43, "y": "A" * 43},
    {"kty": "EC", "kid": "big", "crv": "P-521", "x": "A" * 88, "y": "A" * 88},
)
_CURVES = {"ES256": "secp256r1", "ES384": "secp384r1", "ES512": "secp521r1"}


def documents(data: bytes) -> None:
    """Give an issuer any documents: before it knows any keys, and after."""
    here = world().fresh()
    reader = Reader(data)
    trusted = TrustedIssuer(TRUSTED, audiences=[AUDIENCE], algorithms=ALGORITHMS, key_hosts=["keys.example"])
    other = reader.one_in(2)
    version = reader.pick(("2.0", "1.0"))
    place = (
        trusted_place(trusted) if other else entra_place(here.settings.authority_url, here.settings.tenant_id, version)
    )
    good = here.issuings[1 if other else 0]
    clock = Clock()
    issuer = Issuer(place, clock=clock, on_change=nothing)
    name = (good.key.kid, good.key.algorithm)
    hosts = {urllib.parse.urlsplit(place.urls[0]).netloc} | ({"keys.example"} if other else set())
    first = [_document(reader, here, place, kind) for kind in ("about", "keys")]
    _fetch(issuer, name, first, hosts)
    clock.now += KEYS_LIVE + 1
    right = [_right(here, place, kind) for kind in ("about", "keys")]
    must(hold=_fetch(issuer, name, right, hosts) is not None, else_="the right documents are not believed")
    clock.now += KEYS_LIVE + 1
    before = issuer.metadata
    if _fetch(issuer, name, [_document(reader, here, place, kind) for kind in ("about", "keys")], hosts) is None:
        must(hold=issuer.metadata is not before, else_="the last good keys are gone")
    for response in first:
        _judge(response, here, trusted)
    check_log(here)


def _fetch(issuer: Issuer, name: tuple[str, str], answers: list[HttpResponse], hosts: set[str]) -> SigningKey | None:
    asked: list[str] = []

    def say(effect: Any) -> object:
        parts = urllib.parse.urlsplit(effect.request.url)
        asked.append(effect.request.url)
        # A first fetch and, for a key that is not in it, another one; each of two places for metadata, and the keys.
        must(hold=parts.netloc in hosts and len(asked) <= 6, else_=f"it asks for {asked}")
        answer = answers["well-known" not in parts.path]
        return TransportError("ConnectError") if answer.status == 599 else answer

    played = play(issuer.key_flow(name), say)
    if played.error is not None:
        must(hold=isinstance(played.error, UpstreamUnavailableError | ConfigurationError), else_=f"{played.error!r}")
        check_text(str(played.error))
        return None
    key: SigningKey | None = played.result
    must(hold=key is None or (key.kid, key.algorithm) == name, else_="another key")
    return key


def _judge(response: HttpResponse, here: World, trusted: TrustedIssuer) -> None:
    """Check what the pure functions say of one document, whichever it should have been."""
    try:
        document = process_document(response, "https://idp.example/x")
    except UpstreamUnavailableError:
        return
    for (kid, algorithm), key in process_jwks(document, ALGORITHMS).items():
        jwks = [jwk for jwk in document["keys"] if isinstance(jwk, dict) and _may_be(jwk, key)]
        must(hold=jwks != [] and (kid, algorithm) == (key.kid, key.algorithm), else_=f"no such key: {key}")
        must(hold=_fits(key), else_=f"key for {algorithm}: {jwks}")
        must(hold=key.verifies(b"text", b"\x01" * 256) is False, else_="any signature is good")
    entra = entra_place(here.settings.authority_url, here.settings.tenant_id, "2.0")
    for place in (entra, trusted_place(trusted)):
        try:
            issuer, jwks_uri = place.judge(document)
        except ConfigurationError as error:
            check_text(str(error))
            continue
        must(hold=(issuer, jwks_uri) == (document["issuer"], document["jwks_uri"]), else_="other values")
        at = urllib.parse.urlsplit(jwks_uri)
        home = here.settings.authority_url.removeprefix("http://")
        must(hold=at.netloc.lower() in {"idp.example", "keys.example", home}, else_=f"keys at {jwks_uri}")
        must(hold=at.scheme == ("http" if at.netloc == home else "https"), else_=f"keys at {jwks_uri}")


def _may_be(jwk: Mapping[str, Any], key: SigningKey) -> bool:
    """Tell whether a published key says that it may serve as a key that was read."""
    named = jwk.get("kid") == key.kid and jwk.get("alg", key.algorithm) == key.algorithm
    operations = jwk.get("key_ops", ["verify"])
    for_signatures = jwk.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations
    return named and for_signatures and jwk.get("kty") in ("RSA", "EC", "OKP")


def _fits(key: SigningKey) -> bool:
    public, algorithm = key.public_key, key.algorithm
    if algorithm[:2] in ("RS", "PS"):
        return isinstance(public, rsa.RSAPublicKey) and public.key_size >= 2048
    if algorithm == "EdDSA":
        return isinstance(public, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey)
    return isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name == _CURVES[algorithm]


def _right(here: World, place: Place, kind: str) -> HttpResponse:
    url = place.urls[0]
    about = json.loads(here.documents.get(url) or here.documents[next(iter(here.documents))])
    if kind == "keys":
        return HttpResponse(status=200, headers={}, body=here.documents[about["jwks_uri"]])
    return HttpResponse(status=200, headers={}, body=json.dumps(about).encode())


def _document(reader: Reader, here: World, place: Place, kind: str) -> HttpResponse:
    status = reader.pick((200, 200, 200, 404, 500, 302, 599))
    if reader.one_in(8):
        return HttpResponse(status=status, headers={}, body=reader.rest())
    value = json.loads(_right(here, place, kind).body)
    if kind == "keys":
        value["keys"] += [_OTHER_KEYS[reader.below(6)] for _ in range(reader.below(3))]
        changed = mutated(reader, value["keys"][reader.below(len(value["keys"]))], _JWK_MEMBERS)
        value["keys"].insert(reader.below(2), changed)
    body = json.dumps(mutated(reader, value, _MEMBERS)).encode()
    return HttpResponse(status=status, headers={}, body=changed_bytes(reader, body) if reader.one_in(4) else body)
