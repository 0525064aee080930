"""Which modules hold security checks, where in them, and which tests look at them first."""

from __future__ import annotations

from dataclasses import dataclass

CORE = "tests/core/test_"
ADAPTERS = "tests/adapters/"
CREDENTIALS = "tests/credentials/test_"


@dataclass(frozen=True, slots=True)
class Target:
    """Name a module, the tests that most likely fail first, and where the checks are if not everywhere."""

    module: str
    first: tuple[str, ...]
    only: tuple[str, ...] = ()

    @property
    def wide(self) -> tuple[str, ...]:
        """The tests that a mutant must get past to survive."""
        return WIDE[self.module.partition(".")[0]]


def _tests(folder: str, names: str) -> tuple[str, ...]:
    return tuple(f"{folder}{name}.py" for name in names.split())


_TOKENS = "validation issuers policies tenants issuers_users user advisories signature_spellings"
_AUTH = "auth_boundary auth_isolation auth_challenges lease claims_challenge_in context detached"
_ADAPTED = _tests(f"{ADAPTERS}test_", "answers who_may_pass token_life tenants")
_DOCUMENTS = "metadata_documents issuers_documents issuers_keys metadata issuers metadata_servers metadata_addresses"

TARGETS = (
    Target("obo_middleware._bearer", _tests(CORE, "bearer bearer_proxied runtime")),
    Target("obo_middleware._token", _tests(CORE, "validation issuers signature_spellings advisories")),
    Target("obo_middleware._claims", _tests(CORE, f"partition {_TOKENS}")),
    Target("obo_middleware._keys", _tests(CORE, f"{_DOCUMENTS} advisories validation")),
    Target("obo_middleware._discovery", _tests(CORE, f"{_DOCUMENTS} validation tenants issuers_servers")),
    Target("obo_middleware._metadata", _tests(CORE, f"metadata metadata_failures {_DOCUMENTS} validation")),
    Target("obo_middleware._validation", _tests(CORE, f"remembered_tokens {_TOKENS} issuers_servers metadata")),
    Target("obo_middleware._user", _tests(CORE, f"user issuers_users {_TOKENS}"), ("User", "claim_at")),
    Target("obo_middleware._trusted_issuer", _tests(CORE, "trusted_issuer issuers_documents issuers_users")),
    Target("obo_middleware._urls", _tests(CORE, "urls downstream_api trusted_issuer protected_resource settings")),
    Target("obo_middleware._downstream_api", _tests(CORE, "downstream_api settings")),
    Target("obo_middleware._lease", _tests(CORE, f"lease {_AUTH}")),
    Target("obo_middleware._auth", _tests(CORE, _AUTH)),
    Target("obo_middleware._calls", _tests(CORE, f"{_AUTH} auth_retries")),
    Target("obo_middleware._trace", _tests(CORE, "trace")),
    Target("obo_middleware._step_up", _tests(CORE, "context policies")),
    Target(
        "obo_middleware._challenge",
        (*_tests(CORE, "challenge claims_challenge_in protected_resource auth_challenges"), *_ADAPTED),
        (
            *("reply_to", "_can_answer", "_members", "_challenge", "_bearer", "_whole_seconds"),
            *("claims_challenge_in", "_bearer_challenges", "_decoded_claims", "_base64_text"),
        ),
    ),
    Target(
        "obo_middleware._admission",
        (*_tests(CORE, "runtime bearer_proxied policies"), f"{ADAPTERS}test_who_may_call.py", *_ADAPTED),
    ),
    Target(
        "obo_middleware._runtime",
        (
            *_tests(CORE, "runtime context tenants policies issuers_users bearer_proxied protected_resource"),
            f"{ADAPTERS}test_who_may_call.py",
            *_ADAPTED,
        ),
        tuple(
            f"Runtime.{name}"
            for name in (
                *("__init__", "published", "target", "source"),
                *("check_exchangeable", "tenant_of", "app_credential", "_check_app"),
            )
        ),
    ),
    Target(
        "obo_middleware._context",
        (
            *_tests(CORE, "context lease policies runtime issuers_users tenants"),
            f"{ADAPTERS}attacks/test_downstream_requests.py",
        ),
    ),
    Target("obo_middleware._sources", _tests(CORE, "sources auth_challenges auth_isolation partition")),
    Target(
        "credentials._cache",
        _tests(CREDENTIALS, "cache credential on_behalf_of"),
        ("key_of", "pair_key", "ExpiringCache.get", "ExpiringCache._put", "ExpiringCache.put_unless_changed"),
    ),
    Target(
        "credentials._confidential_client",
        _tests(CREDENTIALS, "confidential_client cache on_behalf_of region on_behalf_of_proofs attacks_on_credentials"),
    ),
    Target(
        "credentials._credential",
        _tests(CREDENTIALS, "credential credential_refusals on_behalf_of confidential_client"),
        tuple(f"TokenEngine.{name}" for name in ("fresh", "_claims_flow", "_fly_flow", "_raise_if_refused")),
    ),
    Target("credentials._on_behalf_of", _tests(CREDENTIALS, "on_behalf_of on_behalf_of_proofs attacks_on_credentials")),
    Target(
        "credentials._token_endpoint",
        _tests(CREDENTIALS, "token_answers token_refusals token_requests confidential_client on_behalf_of"),
    ),
    Target(
        "credentials._token_answer",
        _tests(CREDENTIALS, "token_answers token_refusals errors driver_asking azure_cli managed_identity_answer"),
    ),
    Target("credentials._strict_json", _tests(CREDENTIALS, "strict_json token_answers")),
    Target("credentials._authority", _tests(CREDENTIALS, "authority confidential_client region")),
    Target("credentials._addresses", _tests(CREDENTIALS, "public_addresses public_connections")),
)

WIDE = {
    "obo_middleware": (
        "tests/core",
        "tests/adapters",
        *(f"--ignore=tests/adapters/{path}" for path in ("wire", "test_gunicorn.py", "test_crowd.py")),
    ),
    "credentials": (
        "tests/credentials",
        *_tests(CORE, "partition context auth_isolation auth_challenges sources tenants"),
    ),
}
"""By package; without tests of other processes, which do not have the mutant."""
