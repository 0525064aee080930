"""Which requests need no token: the path as the server decodes it, the method as it was sent, each for itself."""

from __future__ import annotations

import pytest

from tests.adapters.wire.apps import PUBLIC
from tests.adapters.wire.client import bearer
from tests.adapters.wire.sites import Site
from tests.adapters.wire.test_presenting import REFUSED_BY_A_SERVER, check_missing
from tests.adapters.wire.variants import METADATA, METADATA_URL

TRICKS = (
    *(b"/public/../whoami", b"/public/..%2fwhoami", b"/public%2f..%2fwhoami", b"/public/%2e%2e/whoami"),
    *(b"/whoami/../public", b"/./public", b"//public", b"/public/", b"/public//", b"/public;x", b"/public/.;/whoami"),
    *(b"/PUBLIC", b"/public%00", b"/public%20", b"/public%09", b"/public%0d%0a", b"/public\\..\\whoami"),
    *(b"/public%252f..%252fwhoami", b"/%2fpublic", b"/public%3f", b"/public%23", b"/public#/../whoami"),
    *(b"/p%75blic", b"/public?/../whoami", b"/whoami?/public", b"/whoami#/public", b"/whoami;/public"),
    *(b"http://evil.example/public", b"http://evil.example/whoami?http://api.example/public", b"public", b"*"),
    *(b"?/public", b"/public\xe9", "/public\u2215whoami".encode(), b"/whoami%2f..%2fpublic", b"api.example:80"),
)


@pytest.mark.attack(16)
def test_only_the_exact_path_that_the_app_sees_is_public(site: Site) -> None:
    for path in TRICKS:
        answer = site.say(path=path)
        if answer is not None and answer.status == 200:
            assert answer.json() == {"user": None, "path": PUBLIC, "body": ""}, path
        elif answer is not None and answer.status not in REFUSED_BY_A_SERVER:
            check_missing(site, answer, repr(path))


@pytest.mark.attack(16)
def test_no_header_says_what_the_path_is(site: Site) -> None:
    names = (
        b"X-Original-URL",
        b"X-Rewrite-URL",
        b"X-Forwarded-Prefix",
        b"X-Forwarded-Path",
        b"Script-Name",
        b"Path-Info",
    )
    with site.unreached():
        for name in names:
            check_missing(site, site.hear(name + b": /public"), repr(name))


@pytest.mark.attack(1, 16)
def test_no_spelling_of_the_method_opens_a_path(site: Site) -> None:
    overrides = [b"X-HTTP-Method-Override: OPTIONS", b"X-HTTP-Method: OPTIONS"]
    with site.unreached():
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"):
            answer = site.hear(*overrides, method=method)
            assert answer.status == 401
            assert (answer.body == b"") is (method == "HEAD")


@pytest.mark.attack(17)
def test_a_preflight_passes_where_its_method_is_public_and_has_no_identity(special: Site, alice: str) -> None:
    asking = (b"Origin: https://spa.example", b"Access-Control-Request-Method: GET")
    for lines in (asking, (*asking, bearer(alice)), (*asking, bearer("opaque"))):
        answer = special.hear(*lines, method="OPTIONS")
        assert (answer.status, answer.json()["user"]) == (200, None)
    spelled = special.say(*asking, method="options")  # which some servers take for OPTIONS
    assert spelled is None or spelled.status != 200 or spelled.json()["user"] is None
    with special.unreached():
        for method in ("GET", "OPTION", "OPTIONSX"):
            refused = special.say(*asking, method=method)
            assert refused is None or refused.status in (400, 401, 405, 501), method


@pytest.mark.attack(17)
def test_a_preflight_is_refused_where_its_method_is_not_public(site: Site) -> None:
    with site.unreached():
        check_missing(site, site.hear(b"Access-Control-Request-Method: GET", method="OPTIONS"))


@pytest.mark.attack(191, 192)
def test_the_metadata_document_is_the_same_for_every_host(special: Site) -> None:
    path = METADATA.encode()
    first = special.hear(path=path)
    assert (first.status, first.headers["content-type"]) == (200, "application/json")
    assert first.json()["resource"] == "https://api.example/mcp"
    forwarded = (b"X-Forwarded-Host: evil.example", b"Forwarded: host=evil.example", b"X-Forwarded-Proto: http")
    assert special.hear(*forwarded, path=path).constant == first.constant
    assert special.hear(path=b"http://evil.example" + path).constant in (first.constant, special.hear().constant)
    with special.connect() as wire:
        wire.send(special.request(path=path).replace(b"Host: api.example", b"Host: evil.example"))
        answer = wire.answer()
    assert answer is not None
    assert answer.constant == first.constant


@pytest.mark.attack(1, 192)
def test_a_refusal_tells_where_the_document_is(special: Site) -> None:
    answer = special.hear()
    assert answer.status == 401
    assert answer.headers["www-authenticate"].endswith(f', resource_metadata="{METADATA_URL}"')
