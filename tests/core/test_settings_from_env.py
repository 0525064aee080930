from __future__ import annotations

from pathlib import Path

import pytest

from credentials import ClientAssertion, ClientCertificate, ClientSecret
from obo_middleware import ConfigurationError, Settings
from obo_middleware.testing import foreign_key
from tests.core.kit import CLIENT, SECRET, TENANT, run_blocking

PASSWORD = "pass-word-of-the-key"


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Set all that is needed but a credential."""
    monkeypatch.setenv("AZURE_TENANT_ID", TENANT)
    monkeypatch.setenv("AZURE_CLIENT_ID", CLIENT)
    return monkeypatch


def certificate(folder: Path) -> str:
    path = folder / "certificate.pem"
    path.write_bytes(foreign_key().pem)
    return str(path)


def test_a_secret_is_read(env: pytest.MonkeyPatch) -> None:
    env.setenv("AZURE_CLIENT_SECRET", SECRET)
    made = Settings.from_env()
    assert (made.tenant_id, made.client_id, made.authentication) == (TENANT, CLIENT, ClientSecret(SECRET))
    assert made.authority_url == "https://login.microsoftonline.com"


def test_a_certificate_is_read(env: pytest.MonkeyPatch, tmp_path: Path) -> None:
    env.setenv("AZURE_CLIENT_CERTIFICATE_PATH", certificate(tmp_path))
    made = Settings.from_env().authentication
    assert isinstance(made, ClientCertificate)
    assert made.certificate.chain == (foreign_key().certificate_der,)


def test_a_federated_token_is_read_when_it_is_needed(env: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "token"
    env.setenv("AZURE_FEDERATED_TOKEN_FILE", str(path))
    made = Settings.from_env().authentication
    assert isinstance(made, ClientAssertion)
    path.write_text("the projected token\n")
    assert callable(made.callback)
    assert made.callback() == "the projected token"


def test_a_secret_goes_before_a_certificate_and_that_before_a_token_file(
    env: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    env.setenv("AZURE_FEDERATED_TOKEN_FILE", "token")
    env.setenv("AZURE_CLIENT_CERTIFICATE_PATH", certificate(tmp_path))
    assert isinstance(Settings.from_env().authentication, ClientCertificate)
    env.setenv("AZURE_CLIENT_SECRET", SECRET)
    assert isinstance(Settings.from_env().authentication, ClientSecret)


def test_an_empty_variable_is_not_set(env: pytest.MonkeyPatch) -> None:
    env.setenv("AZURE_CLIENT_SECRET", "")
    env.setenv("AZURE_CLIENT_CERTIFICATE_PATH", "")
    env.setenv("AZURE_AUTHORITY_HOST", "")
    env.setenv("AZURE_FEDERATED_TOKEN_FILE", "token")
    made = Settings.from_env()
    assert isinstance(made.authentication, ClientAssertion)
    assert made.authority_url == "https://login.microsoftonline.com"


@pytest.mark.parametrize(("name", "variable"), [("tenant_id", "AZURE_TENANT_ID"), ("client_id", "AZURE_CLIENT_ID")])
@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_variable_is_named(env: pytest.MonkeyPatch, name: str, variable: str, value: str | None) -> None:
    env.setenv("AZURE_CLIENT_SECRET", SECRET)
    env.delenv(variable) if value is None else env.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=f"^{name} is missing: set the environment variable {variable}"):
        Settings.from_env()


def test_a_missing_credential_names_every_variable_that_can_give_it(env: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match=r"^client_credential is missing: set AZURE_CLIENT_SECRET, .*PATH or "):
        Settings.from_env()


def test_a_certificate_that_cannot_be_read_names_the_variable_and_no_password(
    env: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    env.setenv("AZURE_CLIENT_CERTIFICATE_PASSWORD", PASSWORD)
    for content in (None, b"no certificate"):
        path = tmp_path / str(bool(content))
        if content:
            path.write_bytes(content)
        env.setenv("AZURE_CLIENT_CERTIFICATE_PATH", str(path))
        with pytest.raises(ConfigurationError) as caught:
            Settings.from_env()
        assert "correct AZURE_CLIENT_CERTIFICATE_PATH" in str(caught.value)
        assert PASSWORD not in str(caught.value)


def test_arguments_go_before_the_environment(env: pytest.MonkeyPatch) -> None:
    env.setenv("AZURE_CLIENT_SECRET", "from the environment")
    other = "11111111-2222-4333-8444-555555555555"
    made = Settings.from_env(
        tenant_id=other, client_id=other, client_credential=SECRET, authority="login.microsoftonline.us", cache_size=7
    )
    assert (made.tenant_id, made.client_id, made.cache_size) == (other, other, 7)
    assert made.authentication == ClientSecret(SECRET)
    assert made.authority_url == "https://login.microsoftonline.us"


@pytest.mark.parametrize(("value", "allowed"), [("1", True), ("true", True), ("TRUE", True), ("", False), ("0", False)])
def test_a_local_provider_may_be_let_in_by_the_environment(env: pytest.MonkeyPatch, value: str, allowed: bool) -> None:
    env.setenv("AZURE_CLIENT_SECRET", SECRET)
    env.setenv("OBO_ALLOW_LOCAL_ISSUER", value)
    assert Settings.from_env().allow_local_issuer is allowed
    assert Settings.from_env(allow_local_issuer=True).allow_local_issuer is True


def test_a_name_that_is_no_setting_is_named(env: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match=r"there is no such setting: .*'client_secret'"):
        Settings.from_env(client_credential=SECRET, client_secret=SECRET)


def test_a_secret_from_the_environment_authenticates(env: pytest.MonkeyPatch) -> None:
    env.setenv("AZURE_CLIENT_SECRET", SECRET)
    made = Settings.from_env()
    assert SECRET not in repr(made)
    facts: object = None
    assert run_blocking(made.authentication.authenticate_flow(facts)) == {"client_secret": SECRET}  # type: ignore[arg-type]  # a secret needs no facts
