"""The AKS token proxy by hand: its settings, its URLs, and the authorities that it trusts."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from credentials import ProviderUnavailableError
from credentials import _token_endpoint as token_endpoint
from credentials._errors import TransportError
from credentials._flow import CallFunction, HttpRequest, RunFlow, SendRequest
from credentials._token_proxy import AuthorityFile, TokenProxy, TrustedPool, rewritten, token_proxy
from tests.credentials.helpers import play, token_answer

PROXY = "AZURE_KUBERNETES_TOKEN_PROXY"
SERVER_NAME = "AZURE_KUBERNETES_SNI_NAME"
CA_FILE = "AZURE_KUBERNETES_CA_FILE"
CA_DATA = "AZURE_KUBERNETES_CA_DATA"
URL = "https://login.microsoftonline.com/tenant/oauth2/v2.0/token?a=b"
REQUEST = HttpRequest(method="POST", url=URL, headers={"a": "b"}, body=b"form")
PEM, OTHER_PEM = (trustme.CA().cert_pem.bytes() for _ in range(2))


@pytest.fixture
def ca_file(tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    path.write_bytes(PEM)
    return path


def replace_file(path: Path, content: bytes) -> None:
    """Change a file, as seen by its time too, however coarse the clock of the file system is."""
    before = path.stat().st_mtime_ns
    path.write_bytes(content)
    os.utime(path, ns=(before + 10**9, before + 10**9))


# Settings


def test_without_settings_there_is_no_proxy() -> None:
    assert token_proxy({}) is None
    assert token_proxy(dict.fromkeys((PROXY, SERVER_NAME, CA_FILE, CA_DATA), "")) is None


@pytest.mark.parametrize("name", [SERVER_NAME, CA_FILE, CA_DATA])
def test_settings_without_the_proxy_itself_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{PROXY} is not set, but {name} is"):
        token_proxy({name: "x", PROXY: ""})


def test_authorities_from_two_places_are_refused(ca_file: Path) -> None:
    with pytest.raises(ValueError, match="only one"):
        token_proxy({PROXY: "https://proxy", CA_FILE: str(ca_file), CA_DATA: PEM.decode()})


@pytest.mark.parametrize(
    "url",
    [
        "http://proxy",
        "http://127.0.0.1",
        "proxy",
        "//proxy",
        "https://",
        "https:///path",
        "https://user@proxy",
        "https://user:word@proxy",
        "https://@proxy",
        "https://proxy/?",
        "https://proxy?a=b",
        "https://proxy#",
        "https://proxy/#a",
        "https://proxy:port",
        "https://proxy:99999",
        "https://[proxy",
        "https://proxy/a b",
        "https://pröxy/",
        " https://proxy",
        "https://proxy\r\n",
    ],
)
def test_an_address_that_is_no_plain_https_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=PROXY):
        token_proxy({PROXY: url})


@pytest.mark.parametrize("name", ["a b", ".name", "a/b", "näme", "a:1", "*.name"])
def test_a_server_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=SERVER_NAME):
        token_proxy({PROXY: "https://proxy", SERVER_NAME: name})


NO_AUTHORITIES: Mapping[str, bytes] = {
    "empty": b"",
    "garbage": b"garbage",
    "no text": b"\xff\x00",
    "cut off": PEM[:-40],
    "one and a half": PEM + OTHER_PEM[:-40],
    "an empty one": b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
}


@pytest.mark.parametrize("content", NO_AUTHORITIES.values(), ids=NO_AUTHORITIES)
def test_a_file_without_authorities_is_refused_at_first(ca_file: Path, content: bytes) -> None:
    ca_file.write_bytes(content)
    with pytest.raises(ValueError, match=CA_FILE):
        token_proxy({PROXY: "https://proxy", CA_FILE: str(ca_file)})


def test_a_file_that_cannot_be_read_is_refused_at_first(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.pem", tmp_path):
        with pytest.raises(ValueError, match="cannot be read"):
            token_proxy({PROXY: "https://proxy", CA_FILE: str(path)})


def test_data_without_authorities_is_refused() -> None:
    with pytest.raises(ValueError, match=CA_DATA):
        token_proxy({PROXY: "https://proxy", CA_DATA: "garbage"})


def test_only_the_given_authorities_are_trusted(ca_file: Path) -> None:
    for setting in ({CA_FILE: str(ca_file)}, {CA_DATA: "# Zertifizierungsstelle für Köln\n" + PEM.decode()}):
        proxy = token_proxy({PROXY: "https://proxy"} | setting)
        assert proxy is not None
        [pool] = proxy.pools
        assert len(pool._ssl_context.get_ca_certs()) == 1
        assert pool._ssl_context.check_hostname


# URLs


@pytest.mark.parametrize(
    ("proxy", "url"),
    [
        ("https://proxy", "https://proxy/tenant/oauth2/v2.0/token?a=b"),
        ("https://proxy/", "https://proxy/tenant/oauth2/v2.0/token?a=b"),
        ("https://proxy:8443/a/b/", "https://proxy:8443/a/b/tenant/oauth2/v2.0/token?a=b"),
        ("https://[::1]:8443/a", "https://[::1]:8443/a/tenant/oauth2/v2.0/token?a=b"),
        ("https://login.microsoftonline.com/a", "https://login.microsoftonline.com/a/tenant/oauth2/v2.0/token?a=b"),
    ],
)
def test_a_url_is_rewritten_once(proxy: str, url: str) -> None:
    assert rewritten(URL, proxy) == url
    assert rewritten(url, proxy) == url


@pytest.mark.parametrize(
    ("url", "result"),
    [
        ("https://PROXY:443/a/x", "https://PROXY:443/a/x"),
        ("https://proxy/a?q", "https://proxy/a?q"),
        ("https://proxy/ab/x", "https://proxy/a/ab/x"),
        ("https://proxy:444/a/x", "https://proxy/a/a/x"),
        ("http://proxy/a/x", "https://proxy/a/a/x"),
        ("https://proxy", "https://proxy/a/"),
    ],
)
def test_what_is_below_the_proxy_is_told_by_origin_and_whole_segments(url: str, result: str) -> None:
    assert rewritten(url, "https://proxy/a") == result


_segments = st.text("abc.-", min_size=1, max_size=3)
_paths = st.lists(_segments, max_size=3).map(lambda segments: "".join(f"/{segment}" for segment in segments))


@given(_paths, _paths)
def test_rewriting_twice_is_rewriting_once(path: str, proxy_path: str) -> None:
    once = rewritten(f"https://login.example{path}?q=1", f"https://proxy{proxy_path}")
    assert once == f"https://proxy{proxy_path}{path or '/'}?q=1"
    assert rewritten(once, f"https://proxy{proxy_path}") == once


# Requests


def test_without_authorities_of_its_own_the_credentials_connections_serve() -> None:
    proxy = token_proxy({PROXY: "https://proxy/a", SERVER_NAME: "name.aks"})
    assert proxy is not None
    played = play(proxy.send_flow(REQUEST), token_answer())
    [effect] = played.effects
    assert isinstance(effect, SendRequest)
    assert (effect.request.url, effect.request.server_name) == (rewritten(URL, "https://proxy/a"), "name.aks")
    assert (effect.request.method, effect.request.headers, effect.request.body) == ("POST", {"a": "b"}, b"form")
    assert proxy.pools == ()


def test_no_answer_names_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_endpoint, "RETRY_DELAYS", ())
    played = play(TokenProxy("https://proxy").send_flow(REQUEST), TransportError("ConnectError"))
    assert isinstance(played.error, ProviderUnavailableError)
    assert "the AKS token proxy did not answer: ConnectError" in str(played.error)


# Authorities that change


def test_a_changed_file_is_trusted_by_the_next_request_and_old_connections_are_closed(ca_file: Path) -> None:
    proxy = TokenProxy("https://proxy", trusted=TrustedPool(AuthorityFile(str(ca_file))))
    [first] = proxy.pools
    [before] = play(proxy.send_flow(REQUEST), token_answer()).effects
    replace_file(ca_file, OTHER_PEM)
    closing, after = play(proxy.send_flow(REQUEST), "", token_answer()).effects
    assert isinstance(before, RunFlow)
    assert isinstance(closing, CallFunction)
    assert isinstance(after, RunFlow)
    assert (before.pool, after.pool) == (first, proxy.pools[0])
    assert first not in proxy.pools


def test_connections_that_cannot_be_closed_stop_no_request(ca_file: Path) -> None:
    proxy = TokenProxy("https://proxy", trusted=TrustedPool(AuthorityFile(str(ca_file))))
    replace_file(ca_file, OTHER_PEM)
    assert play(proxy.send_flow(REQUEST), TimeoutError(), token_answer()).result == token_answer()


def test_connections_in_use_are_closed_later(ca_file: Path) -> None:
    trusted = TrustedPool(AuthorityFile(str(ca_file)))
    use = trusted.begin()
    replace_file(ca_file, OTHER_PEM)
    trusted.end(trusted.begin())
    assert trusted.left_over() == []
    assert trusted.pools[1:] == (use.pool,)
    trusted.end(use)
    assert trusted.left_over() == [use.pool]
    assert trusted.left_over() == []
    assert len(trusted.pools) == 1


def test_a_flow_that_is_given_up_uses_no_connections_any_more(ca_file: Path) -> None:
    trusted = TrustedPool(AuthorityFile(str(ca_file)))
    flow = TokenProxy("https://proxy", trusted=trusted).send_flow(REQUEST)
    next(flow)
    flow.close()
    replace_file(ca_file, OTHER_PEM)
    trusted.begin()
    assert len(trusted.left_over()) == 1


@pytest.mark.parametrize("content", [*NO_AUTHORITIES.values(), None], ids=[*NO_AUTHORITIES, "gone"])
def test_a_file_that_is_not_good_takes_nothing_away(ca_file: Path, content: bytes | None) -> None:
    trusted = TrustedPool(AuthorityFile(str(ca_file)))
    pools = trusted.pools
    ca_file.unlink() if content is None else replace_file(ca_file, content)
    trusted.begin()
    assert trusted.pools == pools
    ca_file.write_bytes(OTHER_PEM)
    replace_file(ca_file, OTHER_PEM)
    trusted.begin()
    assert trusted.pools[0] not in pools


def test_a_file_that_was_only_touched_keeps_its_connections(ca_file: Path) -> None:
    trusted = TrustedPool(AuthorityFile(str(ca_file)))
    pools = trusted.pools
    replace_file(ca_file, PEM)
    trusted.begin()
    assert trusted.pools == pools


def test_a_child_process_does_not_wait_for_a_thread_of_its_parent(ca_file: Path) -> None:
    trusted = TrustedPool(AuthorityFile(str(ca_file)))
    trusted._lock.acquire()
    trusted.renew_after_fork()
    begun: list[object] = []
    thread = threading.Thread(target=lambda: begun.append(trusted.begin()), daemon=True)
    thread.start()
    thread.join(10)
    assert begun
