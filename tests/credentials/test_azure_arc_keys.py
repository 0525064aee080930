"""The key file of the Azure Arc agent: each rule for its path and its content, broken by as little as possible."""

from __future__ import annotations

import os
import stat
import traceback
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credentials import AuthenticationError, CredentialUnavailableError
from credentials._azure_arc import AzureArc, default_key_directory, read_key
from tests.credentials.arc_agent import ENDPOINT, KEY, challenge, key_file, requests, wanted
from tests.credentials.helpers import play, token_answer

LINUX = "/var/opt/azcmagent/tokens"
WINDOWS = "C:\\ProgramData\\AzureConnectedMachineAgent\\Tokens"


def refused(path: str, directory: Path | str = LINUX) -> str:
    """Return the reason for which a key file is refused."""
    with pytest.raises(AuthenticationError) as caught:
        read_key(path, str(directory))
    return str(caught.value)


# The path


def test_an_empty_path_is_refused() -> None:
    assert "empty" in refused("")


@pytest.mark.parametrize(
    "path",
    [
        "/var/opt/azcmagent/token/x.key",
        "/var/opt/azcmagent/tokens2/x.key",
        "/Var/opt/azcmagent/tokens/x.key",
        "var/opt/azcmagent/tokens/x.key",
        "//var/opt/azcmagent/tokens/x.key",
        "/var/opt/azcmagent/tokens//x.key",
        "/var/opt/azcmagent/tokens/a/x.key",
        "/var/opt/azcmagent/tokens/./x.key",
        "/var/opt/azcmagent/tokens/../tokens/x.key",
        "/var/opt/azcmagent/tokens/..key",
        "/var/opt/azcmagent/tokens/a\\x.key",
        "/var/opt/azcmagent/tokens/x:y.key",
        "/var/opt/azcmagent/tokens/x\x00.key",
        "/var/opt/azcmagent/tokens/x\n.key",
        "/var/opt/azcmagent/tokens/\ud800.key",
        "/var/opt/azcmagent/tokens/\u00e9.key",
        "/var/opt/azcmagent/tokens/",
        "/var/opt/azcmagent/tokens",
        "/etc/shadow",
        "x.key",
    ],
)
def test_a_path_that_is_not_a_plain_name_in_the_agents_directory_is_refused(path: str) -> None:
    assert "Unexpected file path" in refused(path)


def test_a_file_elsewhere_is_refused_although_it_exists(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    outside = key_file(tmp_path)
    assert "Unexpected file path" in refused(outside, tmp_path / "keys")
    assert "Unexpected file path" in refused(f"{tmp_path}/keys/../{Path(outside).name}", tmp_path / "keys")


def test_a_path_is_judged_before_the_file_system_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "open", lambda *_arguments: pytest.fail("a file was opened"))
    assert "Unexpected file path" in refused("//server/share/x.key")
    assert "extension" in refused(LINUX + "/x.kez")


@pytest.mark.parametrize("name", ["x.kez", "x.ke", "x.KEY", "xkey", "x.key.", "x.key_"])
def test_a_file_without_the_extension_is_refused(tmp_path: Path, name: str) -> None:
    assert "extension" in refused(key_file(tmp_path, name=name), tmp_path)


@given(st.text(max_size=40))
def test_no_path_in_a_challenge_makes_another_error(path: str) -> None:
    for candidate in (path, f"{LINUX}/{path}", f"{LINUX}/{path}.key"):
        assert refused(candidate)


# The file


@pytest.mark.peer_defect(10)
def test_a_file_that_does_not_exist_says_who_may_see_it(tmp_path: Path) -> None:
    said = refused(str(tmp_path / "x.key"), tmp_path)
    assert "not exist" in said
    assert "himds" in said


def test_a_file_that_may_not_be_read_says_who_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_arguments: object) -> int:
        raise PermissionError(13, "Permission denied")

    path = key_file(tmp_path)
    monkeypatch.setattr(os, "open", denied)
    said = refused(path, tmp_path)
    assert "cannot be read: Permission denied" in said
    assert "himds" in said


def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path) -> None:
    assert "cannot be read" in refused(f"{tmp_path}/{'x' * 300}.key", tmp_path)


def test_a_directory_name_with_a_null_character_is_refused() -> None:
    assert "cannot be read: ValueError" in refused("/a\x00b/x.key", "/a\x00b")


def test_a_file_of_the_largest_size_is_read(tmp_path: Path) -> None:
    assert read_key(key_file(tmp_path, b"k" * 4096), str(tmp_path)) == "k" * 4096


def test_a_file_of_one_byte_more_is_refused(tmp_path: Path) -> None:
    assert "file size" in refused(key_file(tmp_path, b"k" * 4097), tmp_path)


def test_a_file_is_not_read_beyond_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    read = os.read

    def counting(descriptor: int, size: int) -> bytes:
        sizes.append(size)
        return read(descriptor, size)

    path = key_file(tmp_path, b"k" * 100_000)
    monkeypatch.setattr(os, "read", counting)
    assert "file size" in refused(path, tmp_path)
    assert sizes == [4097]


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "x.key").symlink_to(key_file(tmp_path))
    assert "symbolic link" in refused(str(tmp_path / "keys" / "x.key"), tmp_path / "keys")


def test_a_directory_is_no_key(tmp_path: Path) -> None:
    (tmp_path / "x.key").mkdir()
    assert "not a regular file" in refused(str(tmp_path / "x.key"), tmp_path)


def test_a_pipe_is_no_key_and_nobody_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.key")
    assert "not a regular file" in refused(str(tmp_path / "x.key"), tmp_path)


def test_the_opened_file_is_looked_at_and_not_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    path = key_file(tmp_path)
    open_ = os.open
    monkeypatch.setattr(os, "open", lambda _path, flags: open_(tmp_path / "pipe", flags))
    assert stat.S_ISREG(Path(path).stat().st_mode)
    assert "not a regular file" in refused(path, tmp_path)


def test_no_descriptor_is_left_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int] = []
    open_ = os.open

    def noting(path: str, flags: int) -> int:
        opened.append(open_(path, flags))
        return opened[-1]

    (tmp_path / "x.key").mkdir()
    path = key_file(tmp_path)
    monkeypatch.setattr(os, "open", noting)
    assert read_key(path, str(tmp_path)) == KEY
    assert refused(str(tmp_path / "x.key"), tmp_path)
    assert len(opened) == 2
    for descriptor in opened:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)


# The key


@pytest.mark.parametrize(
    "content", [b"k e y", b"k\r\nX-Evil: 1", b"k\x00", b"k\x7f", b"k\xc3\xa9y", b"k\xff", b"", b" \n"]
)
def test_a_key_that_no_header_may_have_is_refused_and_not_shown(tmp_path: Path, content: bytes) -> None:
    path = key_file(tmp_path, content)
    with pytest.raises(AuthenticationError, match="no HTTP header may have") as caught:
        read_key(path, str(tmp_path))
    assert "X-Evil" not in "".join(traceback.format_exception(caught.value))


def test_white_space_around_the_key_does_not_count(tmp_path: Path) -> None:
    assert read_key(key_file(tmp_path, f" {KEY}\r\n".encode()), str(tmp_path)) == KEY


# The platform


def test_the_directory_depends_on_the_platform() -> None:
    assert default_key_directory("linux", {}) == LINUX
    assert default_key_directory("win32", {"PROGRAMDATA": "C:\\ProgramData"}) == WINDOWS


@pytest.mark.parametrize("environ", [{}, {"PROGRAMDATA": ""}])
def test_windows_without_program_data_is_told_to_set_it(environ: dict[str, str]) -> None:
    played = play(AzureArc(ENDPOINT, platform="win32", environ=environ).token_flow(wanted()))
    assert not played.effects
    with pytest.raises(CredentialUnavailableError, match="PROGRAMDATA"):
        assert played.result


def test_other_platforms_have_no_agent() -> None:
    played = play(AzureArc(ENDPOINT, platform="darwin").token_flow(wanted()))
    assert not played.effects
    with pytest.raises(CredentialUnavailableError, match="darwin"):
        assert played.result


def test_the_default_directory_holds_for_the_whole_flow() -> None:
    source = AzureArc(ENDPOINT, platform="linux")
    played = play(source.token_flow(wanted()), challenge("/var/opt/azcmagent/tokenz/x.key"))
    with pytest.raises(AuthenticationError, match="Unexpected file path"):
        assert played.result


def test_a_key_of_windows_is_read_by_its_own_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # To this system the whole path is one name: the file is really read, and the rules are those of Windows.
    monkeypatch.chdir(tmp_path)
    source = AzureArc(ENDPOINT, platform="win32", environ={"PROGRAMDATA": "C:\\ProgramData"})
    path = f"{WINDOWS}\\x.key"
    Path(path).write_text(KEY)
    assert play(source.token_flow(wanted()), challenge(path), token_answer("t")).result.token == "t"
    for wrong in (f"{WINDOWS}/x.key", f"{WINDOWS}\\..\\Tokens\\x.key", f"{WINDOWS}\\a:x.key", "\\\\evil\\x.key"):
        with pytest.raises(AuthenticationError, match="Unexpected file path"):
            assert play(source.token_flow(wanted()), challenge(wrong)).result


def test_the_key_is_read_anew_for_each_token(tmp_path: Path) -> None:
    source = AzureArc(ENDPOINT, key_directory=str(tmp_path))
    for content in ("first", "second"):
        path = key_file(tmp_path, content.encode())
        _, proved = requests(play(source.token_flow(wanted()), challenge(path), token_answer()))
        assert proved.headers["Authorization"] == f"Basic {content}"
