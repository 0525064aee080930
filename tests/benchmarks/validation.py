"""The first sight of a token: validation against PyJWT's own decode, and what a refusal costs."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterable
from types import FrameType
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from obo_middleware._runtime import Runtime
from obo_middleware.errors import OboError
from obo_middleware.testing import LocalEntra
from tests.benchmarks import stage
from tests.benchmarks.measure import Work, compare
from tests.benchmarks.table import Row, micro

FACTOR = 1.1
_OTHER = "https://login.example/tenant/v2.0"


def _first_sight(runtime: Runtime, tokens: Iterable[str]) -> Work:
    """Return what the middleware does with a token that it has not seen."""
    following = iter(tokens).__next__
    return lambda: stage.admit(runtime, stage.bearer(following()))


def _decode(entra: LocalEntra, tokens: Iterable[str], key: Any) -> Work:
    following, audience, issuer = iter(tokens).__next__, [entra.api.client_id, "api://other"], entra.issuer
    return lambda: jwt.decode(following(), key, algorithms=["RS256"], audience=audience, issuer=issuer)


def _raw(tokens: Iterable[str], key: Any) -> Work:
    """Return the floor: RSA and nothing else."""
    parts = [_signed(token) for token in tokens]
    following, padding, digest = itertools.cycle(parts).__next__, PKCS1v15(), SHA256()

    def verify() -> None:
        signature, data = following()
        key.verify(signature, data, padding, digest)

    return verify


def _signed(token: str) -> tuple[bytes, bytes]:
    data, _, signature = token.rpartition(".")
    return jwt.utils.base64url_decode(signature), data.encode()


def refusals(entra: LocalEntra, token: str) -> dict[str, str]:
    """Return tokens that must be refused before any RSA, by what is wrong with them."""
    header, payload, signature = token.split(".")
    claims = json.loads(jwt.utils.base64url_decode(payload))

    def changed(**changes: Any) -> str:
        return entra.sign(claims | changes)

    none = stage.base64url(json.dumps({"typ": "JWT", "alg": "none", "kid": "k"}).encode())
    return {
        "too long": token + "A" * 16_384,
        "bad alphabet": f"{header}.{payload[:-1]}~.{signature}",
        "alg none": f"{none}.{payload}.{signature}",
        "unknown kid": entra.sign(claims, {"kid": "unknown"}),
        "unknown issuer": changed(iss=_OTHER),
        "wrong audience": changed(aud="somebody-else"),
        "expired": changed(exp=1_000_000_000),
    }


def _refusing(runtime: Runtime, token: str) -> Work:
    header = stage.bearer(token)

    def refuse() -> None:
        try:
            stage.admit(runtime, header)
        except OboError:
            return
        raise AssertionError("the token was not refused")

    return refuse


def does_rsa(function: Work) -> bool:
    """Tell whether a function verifies a signature, by whatever path."""
    seen: set[str] = set()

    def watch(frame: FrameType, event: str, argument: Any) -> None:
        seen.add(argument.__name__ if event == "c_call" else frame.f_code.co_name)

    sys.setprofile(watch)
    try:
        function()
    finally:
        sys.setprofile(None)
    return "verify" in seen


def run(*, quick: bool) -> list[Row]:
    """Measure, and return a row for the first sight and one for the refusals."""
    number, rounds = (10, 2) if quick else (150, 11)
    with stage.provider() as entra:
        runtime = stage.warm_runtime(entra)
        tokens = [stage.inbound_token(entra, "alice") for _ in range(number * rounds)]
        key = stage.signing_key(entra, tokens[0])
        subjects = {
            "ours": _first_sight(runtime, tokens),
            "PyJWT": _decode(entra, tokens, key),
            "RSA": _raw(tokens[:number], key),
        }
        found = compare(subjects, number=number, rounds=rounds)
        refusing = {name: _refusing(runtime, bad) for name, bad in refusals(entra, tokens[0]).items()}
        refused = compare(refusing, number=number, rounds=rounds)
        verifying = [name for name, function in refusing.items() if does_rsa(function)]
        runtime.close()
    budget = FACTOR * found["PyJWT"]
    return [_first_row(found, budget), _refusal_row(refused, found["RSA"], verifying)]


def _first_row(found: dict[str, float], budget: float) -> Row:
    return Row(
        what="first sight of a token (validation)",
        ours=f"{micro(found['ours'])}, {found['ours'] / found['PyJWT']:.2f} x PyJWT",
        budget=f"<= {FACTOR} x PyJWT's own decode, {micro(budget)}",
        floor=f"raw RSA verify {micro(found['RSA'])}",
        peers=f"PyJWT's decode {micro(found['PyJWT'])}",
        within=found["ours"] <= budget,
    )


def _refusal_row(refused: dict[str, float], rsa: float, verifying: list[str]) -> Row:
    times = ", ".join(f"{name} {micro(seconds)}" for name, seconds in refused.items())
    return Row(
        what="cheap refusals of a bad token",
        ours=times,
        budget="before any RSA" + (f", but RSA for {', '.join(verifying)}" if verifying else ""),
        floor=f"raw RSA verify {micro(rsa)}",
        within=not verifying,
    )
