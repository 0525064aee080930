"""Tokens, signed by the right key, whose claims must be refused; by the number in the list of attacks and a name."""

from __future__ import annotations

from tests.core.forgery import Forge, each, null_claim, raw_payload, with_claims, with_issuer
from tests.core.kit import CLIENT, TENANT

OTHER = "11111111-2222-4333-8444-555555555555"


def in_time(name: str, seconds: int) -> Forge:
    """Sign rightly, with a time that many seconds after the provider's."""
    return lambda e: with_claims(**{name: int(e.clock()) + seconds})(e)


AUDIENCE: dict[str, Forge] = {
    "60 aud of another API": with_claims(aud="api://other"),
    **each("61 aud", "aud", "", [], 5, True, {}),
    **each("62 aud", "aud", f"api://{CLIENT}/", f"api://{CLIENT}/x", f"https://{CLIENT}"),
    **each("63 aud", "aud", f"api://{CLIENT}.evil", f"API://{CLIENT}", CLIENT.upper(), CLIENT[:-1], CLIENT + "0"),
    **each("63 aud", "aud", f" {CLIENT}", f"{CLIENT} "),
    **each("64 aud", "aud", [CLIENT], [CLIENT, "api://other"], [[CLIENT]]),
    **each("65 aud", "aud", "https://graph.microsoft.com", "00000003-0000-0000-c000-000000000000"),
    "61 aud missing": with_claims(aud=None),
    "61 aud null": null_claim("aud"),
}

ISSUER: dict[str, Forge] = {
    "66 iss of another tenant": with_issuer(f"{{a}}/{OTHER}/v2.0"),
    "66 another tenant in iss and tid": lambda e: e.sign_in("alice", iss=f"{e.authority}/{OTHER}/v2.0", tid=OTHER),
    "67 v1 iss in a v2 token": with_issuer("{a}/sts/{t}/"),
    "67 v2 iss in a v1 token": lambda e: e.sign_in("alice", version=1, iss=f"{e.authority}/{TENANT}/v2.0"),
    "67 v1 token that says it is v2": lambda e: e.sign_in("alice", version=1, ver="2.0"),
    "68 iss with the template": with_issuer("{a}/{{tenantid}}/v2.0"),
    "69 tid of another tenant": with_claims(tid=OTHER),
    **each("70 tid", "tid", "common", "../x", "", TENANT[:-1], TENANT + "\n", f" {TENANT}", 5, [TENANT], "{tenantid}"),
    "70 tid missing": with_claims(tid=None),
    "73 iss one short": with_issuer("{a}/{t}/v2."),
    "73 iss with a slash more": with_issuer("{a}/{t}/v2.0/"),
    "73 iss in other case": with_issuer("{a}/{t}/V2.0"),
    "73 iss list": lambda e: e.sign_in("alice", iss=[e.issuer]),
    "73 iss missing": with_claims(iss=None),
    "73 iss a number": with_claims(iss=5),
    "74 iss of the attacker": with_issuer("https://evil.example/{t}/v2.0"),
    "74 iss by another scheme": lambda e: e.sign_in("alice", iss=e.issuer.replace("http://", "https://")),
}

TIMES: dict[str, Forge] = {
    "76 expired": in_time("exp", 0),
    "76 expired a second ago": in_time("exp", -1),
    "77 exp missing": with_claims(exp=None),
    **each("78 exp", "exp", "9999999999", True, 1e300, int("9" * 300), [1], {}, -1, "tomorrow", 253_402_300_800),
    "78 exp 1e400": raw_payload(lambda text: text.replace('"exp": ', '"exp": 1e400, "x": ').encode()),
    "78 exp null": null_claim("exp"),
    "78 exp a text": lambda e: e.sign_in("alice", exp=str(int(e.clock()) + 60)),
    "79 nbf ahead": in_time("nbf", 61),
    "79 iat ahead": in_time("iat", 61),
    "79 iat far ahead": in_time("iat", 86_400 * 365),
    "79 nbf text": with_claims(nbf="1"),
    "79 iat null": null_claim("iat"),
    "79 nbf true": with_claims(nbf=True),
    "79 nbf before 1970": with_claims(nbf=-1),
    "79 iat before 1970": with_claims(iat=-1),
}

SHAPE: dict[str, Forge] = {
    "81 ID token": with_claims(scp=None, azp=None),
    "81 ID token with roles": with_claims(scp=None, azp=None, roles=["Admin"]),
    **each("81 nonce", "nonce", "x"),
    **each("81 at_hash", "at_hash", "x"),
    **each("81 c_hash", "c_hash", "x"),
    "81 no scope": with_claims(scp=""),
    "82 client assertion": lambda e: e.sign(
        {"iss": CLIENT, "sub": CLIENT, "aud": f"{e.authority}/{TENANT}/oauth2/v2.0/token", "exp": int(e.clock()) + 60}
    ),
    "82 DPoP proof": lambda e: e.sign(
        {"htm": "GET", "htu": "https://a", "jti": "x", "iat": int(e.clock())}, {"typ": "dpop+jwt"}
    ),
    **each("88 scp", "scp", ["access_as_user"], 5, {}, True),
    "88 scp null": null_claim("scp"),
    **each("88 roles", "roles", "Admin", 5, {"a": 1}, [5], [["Admin"]], [None]),
    **each("96 sub", "sub", "", None, 5),
    **each("96 oid", "oid", "", None, 5),
    **each("98 cnf", "cnf", {"jkt": "x"}, {"x5t#S256": "x"}, {}, "x"),
    "98 cnf null": null_claim("cnf"),
    **each("azp", "azp", 5, ["x"]),
    **each("appid", "appid", 5),
    **each("idtyp", "idtyp", 5, ["app"]),
}

CLAIMS: dict[str, Forge] = AUDIENCE | ISSUER | TIMES | SHAPE
