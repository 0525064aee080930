from __future__ import annotations

from typing import Any

import pytest

from obo_middleware import ConfigurationError, TrustedIssuer
from obo_middleware._trusted_issuer import ALGORITHMS

IDP = "https://idp.example/realms/main"
API = "https://api.example"


def trusted(issuer: Any = IDP, **changes: Any) -> TrustedIssuer:
    return TrustedIssuer(issuer, **{"audiences": [API]} | changes)


def test_little_is_needed_to_trust_an_issuer() -> None:
    made = trusted()
    assert (made.issuer, made.audiences, made.algorithms) == (IDP, {API}, ("RS256",))
    assert (made.jwks_uri, made.key_hosts, made.allowed_clients, made.strict_audience) == (None, set(), set(), False)
    assert (made.object_id_claim, made.scopes_claim, made.roles_claim) == ("sub", "scope", "roles")
    assert (made.client_id_claim, made.name_claim) == ("client_id", "name")


def test_what_was_given_is_kept_in_a_form_that_cannot_be_changed() -> None:
    made = trusted(
        audiences=["a", "b", "a"],
        algorithms=["EdDSA", "ES256", "EdDSA"],
        key_hosts=["Keys.Example", "keys.example:8443"],
        allowed_clients=["web", "Web"],
        roles_claim=("realm_access", "roles"),
    )
    assert (made.audiences, made.algorithms) == (frozenset({"a", "b"}), ("ES256", "EdDSA"))
    assert made.key_hosts == frozenset({"keys.example", "keys.example:8443"})
    assert made.allowed_clients == frozenset({"web", "Web"})
    assert made.roles_claim == ("realm_access", "roles")
    assert hash(made) == hash(made)
    with pytest.raises(AttributeError):
        made.audiences = ()  # type: ignore[misc]  # that is what is tested


@pytest.mark.parametrize(
    "url",
    [
        "https://tenant.auth0.example/",
        "https://idp.example",
        "https://idp.example:8443/a/b",
        "http://127.0.0.1:5000",
        "http://localhost:5000/realms/main",
    ],
)
def test_an_issuer_stays_letter_for_letter_what_it_is(url: str) -> None:
    assert trusted(url).issuer == url


def test_every_algorithm_with_a_key_pair_may_be_trusted() -> None:
    assert trusted(algorithms=set(ALGORITHMS)).algorithms == ALGORITHMS


ISSUER = "the https URL that stands in the claim iss"
HOSTS = "list hosts without scheme and path"
LIST = "list some of RS256"
CLAIM = "give a claim's name"

# The field at fault, what is given, and words of the problem and of the fix.
WRONG: list[Any] = [
    *(
        ("issuer", {"issuer": url}, repr(url), ISSUER)
        for url in (
            *("", "idp.example", "http://idp.example", "ftp://idp.example", "https://", "https://a b", None, 5),
            *(
                "https://idp.example?a=b",
                "https://idp.example#a",
                "https://me@idp.example",
                "https://[x",
                "https://a:b",
            ),
        )
    ),
    *(
        pytest.param("audiences", {"audiences": value}, problem, "exact aud values", marks=pytest.mark.attack(195))
        for value, problem in (
            ([], "is empty"),
            ((), "is empty"),
            (None, "is a NoneType"),
            (API, "is a str"),
            ([""], "contains ''"),
            ([None], "contains None"),
            ([API, 5], "contains 5"),
        )
    ),
    *(
        pytest.param("algorithms", {"algorithms": value}, problem, LIST, marks=pytest.mark.attack(194))
        for value, problem in (
            ([], "is empty"),
            (None, "is a NoneType"),
            ("RS256", "is a str"),
            (["HS256"], "contains 'HS256'"),
            (["RS256", "HS256"], "contains 'HS256'"),
            (["ES256", "HS512"], "contains 'HS512'"),
            (["none"], "contains 'none'"),
            (["EdDSA", "none"], "contains 'none'"),
            (["rs256"], "contains 'rs256'"),
            (["ES256K"], "contains 'ES256K'"),
            (["*"], "contains '*'"),
            ([None], "contains None"),
            ([""], "contains ''"),
        )
    ),
    *(
        pytest.param("jwks_uri", {"jwks_uri": url}, repr(url), "or leave it out", marks=pytest.mark.attack(111))
        for url in (
            *("file:///etc/passwd", "file://idp.example/keys", "data:application/json,{}"),
            *("ftp://idp.example/keys", "http://idp.example/keys", "http://169.254.169.254/keys"),
        )
    ),
    *(("jwks_uri", {"jwks_uri": url}, repr(url), "or leave it out") for url in ("", "/keys", 5, "https://a@b/keys")),
    *(
        ("key_hosts", {"key_hosts": value}, problem, HOSTS)
        for value, problem in (
            ("keys.example", "is a str"),
            (["https://keys.example"], "contains 'https://keys.example'"),
            (["keys.example/keys"], "contains 'keys.example/keys'"),
            (["a@b"], "contains 'a@b'"),
            (["*.example:*"], "contains"),
            ([""], "contains ''"),
            ([5], "contains 5"),
            (["a.example\n"], "contains"),
        )
    ),
    *(
        pytest.param(
            *("key_hosts", {"key_hosts": [host]}, "is on this machine", "the issuer's own hosts"),
            marks=pytest.mark.attack(196),
        )
        for host in (
            *("localhost", "127.0.0.1:5000", "LOCALHOST:80"),
            *("localhost.", "a.localhost", "127.1", "0.0.0.0:80", "2130706433:5000"),
        )
    ),
    ("allowed_clients", {"allowed_clients": "web"}, "is a str", "list the client ids"),
    ("allowed_clients", {"allowed_clients": [""]}, "contains ''", "list the client ids"),
    ("strict_audience", {"strict_audience": "yes"}, "is 'yes'", "True or False"),
    ("strict_audience", {"strict_audience": None}, "is None", "True or False"),
    *(
        (f"{name}_claim", {f"{name}_claim": value}, f"is {value!r}", CLAIM)
        for name in ("object_id", "scopes", "roles", "client_id", "name")
        for value in ("", (), None, 5, ["sub"], ("a", ""), ("a", 5))
    ),
]


@pytest.mark.parametrize(("name", "given", "problem", "fix"), WRONG)
def test_what_cannot_work_is_refused_with_its_name_its_problem_and_the_fix(
    name: str, given: dict[str, Any], problem: str, fix: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        trusted(**given)
    text = str(caught.value)
    assert text.startswith(name + " ")
    assert problem in text
    assert fix in text


@pytest.mark.attack(195)
def test_an_issuer_without_an_audience_cannot_be_described() -> None:
    with pytest.raises(TypeError, match="audiences"):
        TrustedIssuer(IDP)  # type: ignore[call-arg]  # that is what is tested


def test_the_keys_of_a_local_issuer_may_be_elsewhere_on_this_machine() -> None:
    assert trusted("http://localhost:5000", key_hosts=["127.0.0.1:5001"]).key_hosts == {"127.0.0.1:5001"}
