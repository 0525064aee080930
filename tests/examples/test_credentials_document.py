"""Every example of docs/credentials.md runs as a user would run it, on the machines it is meant for.

Nothing in an example is for tests: the provider is found by ``AZURE_AUTHORITY_HOST`` and trusted by
``SSL_CERT_FILE``, all other hosts are reached through ``HTTPS_PROXY``, and only ``"..."`` is filled in.
"""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

import credentials
from credentials import aio
from example_apps.local import ROOT
from tests.examples.blocks import Block, blocks
from tests.examples.machines import World, world

DOCUMENT = ROOT / "docs" / "credentials.md"
BLOCKS = list(blocks([DOCUMENT]))

# Appended to each example: says whose tokens it got, for what, and in which tenant.
EPILOGUE = """
import jwt
for name, value in sorted(globals().items()):
    if type(value).__name__ == "AccessToken":
        claims = jwt.decode(value.token, options={"verify_signature": False})
        print(f"{name}: {claims['oid']} of {claims['tid']} for {claims['aud']}")
"""

GRAPH = "of home for https://graph.microsoft.com"
APPLICATION, ALICE = f"token: the application {GRAPH}", f"token: Alice {GRAPH}"
IDENTITY, DEVELOPER = f"token: identity {GRAPH}", f"token: developer {GRAPH}"
ANSWERED = "Hello, the application"

# For each heading its examples in order, and for each of them what it prints on which machine.
Outcomes = Mapping[str, Sequence[str]]
EXPECTED: dict[str, list[Outcomes]] = {
    "The common part": [{"bare": [APPLICATION]}, {"bare": [APPLICATION]}],
    "DefaultAzureCredential": [
        {
            "secret": [APPLICATION],
            "cluster": [APPLICATION],
            "app service": [IDENTITY],
            "az": [DEVELOPER],
            "pwsh": [DEVELOPER],
            "azd": [DEVELOPER],
        },
        {"secret+app service": [f"token: identity with client_id the client id {GRAPH}"]},
    ],
    "ChainedTokenCredential": [
        {"app service": [IDENTITY], "bare": [APPLICATION]},
        {"app service+production": [IDENTITY], "app service+az": [DEVELOPER], "bare+production": [APPLICATION]},
        {
            "app service": [
                f"graph_token: identity {GRAPH}",
                "key_vault_token: identity with client_id the client id of home for https://vault.azure.net",
            ],
            "bare": [
                f"graph_token: the application {GRAPH}",
                "key_vault_token: the application of home for https://vault.azure.net",
            ],
        },
        {"secret": [APPLICATION], "cluster": [APPLICATION], "az": [DEVELOPER], "app service": [IDENTITY]},
    ],
    "ManagedIdentityCredential": [
        {"app service": [IDENTITY], "cluster": [APPLICATION]},
        {
            "app service": [
                f"first_token: identity with client_id the client id {GRAPH}",
                f"second_token: identity with object_id an object id {GRAPH}",
                f"third_token: identity with mi_res_id a resource id {GRAPH}",
            ]
        },
    ],
    "WorkloadIdentityCredential": [{"cluster": [APPLICATION]}, {"bare": [APPLICATION]}],
    "AzurePipelinesCredential": [{"pipeline": ["token: the application of home for https://management.azure.com"]}],
    "EnvironmentCredential": [
        {"secret": [APPLICATION], "certificate": [APPLICATION]},
        {"secret": ["token: the application of abroad for https://graph.microsoft.com"]},
    ],
    "ClientCertificateCredential": [{"bare": [APPLICATION]}, {"bare": [APPLICATION]}],
    "ClientAssertionCredential": [{"workflow": [APPLICATION]}, {"workflow": [APPLICATION]}],
    "OnBehalfOfCredential": [{"bare": [ALICE]}, {"bare": [ALICE]}, {"bare": [ALICE]}, {"secret": [ALICE]}],
    "Without any secret": [{"app service": [ALICE]}, {"cluster": [ALICE]}],
    "AzureCliCredential": [{"az": [DEVELOPER]}],
    "AzureDeveloperCliCredential": [{"azd": [DEVELOPER]}],
    "AzurePowerShellCredential": [{"pwsh": [DEVELOPER]}],
    "get_bearer_token_provider": [{"secret": [ANSWERED]}, {"secret": [ANSWERED]}],
    "Clients of the Azure SDK": [{"secret": [ANSWERED]}, {"secret": [ANSWERED]}],
    "Other clouds": [{"bare": ["token: the application of home for https://graph.microsoft.us"]}],
    "Errors": [{"bare": [APPLICATION], "app service": [IDENTITY]}],
}


Case = tuple[Block, str, Sequence[str]]


def cases() -> Iterator[Case]:
    """Yield each example on each of its machines, with what it prints there."""
    for heading, examples in EXPECTED.items():
        below = [block for block in BLOCKS if block.heading == heading]
        for block, outcomes in zip(below, examples, strict=True):
            for machine, printed in outcomes.items():
                yield block, machine, printed


def names_of(those: Iterable[Case]) -> list[str]:
    return [f"{block.heading}, line {block.line}, {machine}" for block, machine, _ in those]


CASES = list(cases())


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("machines")) as playing:
        yield playing


def filled_in(code: str, values: Mapping[str, str]) -> str:
    """Return code with its placeholders replaced, each by what its name stands for."""
    code = re.sub(r'(\w+)="\.\.\."', lambda match: f"{match[1]}={values[match[1]]!r}", code)
    assert '"..."' not in code
    return code


def values_for(playing: World, block: Block, **values: str) -> dict[str, str]:
    # The one tenant that is asked for by itself is another one.
    abroad = {} if "client_id=" in block.code else {"tenant_id": playing.abroad.tenant_id}
    return playing.values() | abroad | values


def run(playing: World, code: str, machine: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore::ResourceWarning", "-c", code],
        cwd=playing.folder,
        env=os.environ | playing.variables(machine),
        capture_output=True,
        text=True,
        check=False,
    )


def run_example(playing: World, block: Block, machine: str, **values: str) -> subprocess.CompletedProcess[str]:
    return run(playing, filled_in(block.code, values_for(playing, block, **values)) + EPILOGUE, machine)


def lines_of(done: subprocess.CompletedProcess[str], names: Mapping[str, str]) -> list[str]:
    """Return what an example printed, with words for ids; it ended well."""
    assert done.returncode == 0, done.stderr
    printed = done.stdout
    for value, name in names.items():
        printed = printed.replace(value, name)
    return printed.splitlines()


def test_every_example_of_the_document_is_run_below() -> None:
    found = {block.heading: 0 for block in BLOCKS}
    for block in BLOCKS:
        found[block.heading] += 1
    assert found == {heading: len(examples) for heading, examples in EXPECTED.items()}


@pytest.mark.parametrize(("block", "machine", "printed"), CASES, ids=names_of(CASES))
def test_an_example_gets_its_token(machines: World, block: Block, machine: str, printed: Sequence[str]) -> None:
    done = run_example(machines, block, machine)
    assert (lines_of(done, machines.names()), done.stderr) == (printed, "")


# Runs an example whose lines may have `await` at the top.
AWAITED = """
import ast, asyncio, sys
sys.modules["both"] = __import__("credentials.aio").aio
for name in dir(credentials := sys.modules["credentials"]):
    vars(sys.modules["both"]).setdefault(name, getattr(credentials, name))
asyncio.run(eval(compile({code!r}, "example", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)))
"""


def awaitable(code: str) -> str:
    """Return a blocking example in the other colour, changed as the document says."""
    code = code.replace("from credentials import", "from both import").replace("\nwith ", "\nasync with ")
    return re.sub(r"(\w+(\(\))?\.get_token\()", r"await \1", code)


# Each on its first machine, save those that are awaitable as they stand, and those with other clients or functions.
PLAIN = {case[0]: case for case in reversed(CASES) if not re.search(r"async |azure\.|openai|return ", case[0].code)}
BLOCKING = list(PLAIN.values())


@pytest.mark.parametrize(("block", "machine", "printed"), BLOCKING, ids=names_of(BLOCKING))
def test_an_example_gets_its_token_in_the_other_colour(
    machines: World, block: Block, machine: str, printed: Sequence[str]
) -> None:
    code = awaitable(filled_in(block.code, values_for(machines, block))) + EPILOGUE
    assert lines_of(run(machines, AWAITED.format(code=code), machine), machines.names()) == printed


def example(heading: str) -> Block:
    """Return the first example below a heading."""
    return next(block for block in BLOCKS if block.heading == heading)


def test_the_resilient_chain_tells_a_refusal(machines: World) -> None:
    done = run_example(machines, example("Errors"), "bare", client_secret="wrong")
    assert lines_of(done, machines.names()) == ["Refused: invalid_client (7000215,)"]


def test_the_resilient_chain_tells_that_there_is_nothing_to_ask_with(machines: World) -> None:
    whole = example("Errors")
    fewer = re.sub(r"^    ClientSecretCredential\(.*\n", "", whole.code, flags=re.MULTILINE)
    printed = lines_of(run_example(machines, dataclasses.replace(whole, code=fewer), "bare"), {})
    assert printed[0].startswith("Nothing to ask with: ")
    assert {"ManagedIdentityCredential", "AzureCliCredential"} <= set(re.findall(r"\w+", "\n".join(printed)))


@pytest.mark.parametrize(
    ("heading", "missing"),
    [
        ("DefaultAzureCredential", "AZURE_CLIENT_ID"),
        ("WorkloadIdentityCredential", "AZURE_FEDERATED_TOKEN_FILE"),
        ("EnvironmentCredential", "AZURE_TENANT_ID"),
        ("AzureCliCredential", "Azure CLI"),
        ("AzureDeveloperCliCredential", "Azure Developer CLI"),
        ("AzurePowerShellCredential", "PowerShell"),
    ],
)
def test_an_example_on_the_wrong_machine_says_what_is_missing(machines: World, heading: str, missing: str) -> None:
    done = run_example(machines, example(heading), "bare")
    assert done.returncode == 1
    error = done.stderr[done.stderr.rindex("CredentialUnavailableError: ") :]
    assert missing in error


def test_the_document_has_a_section_for_every_class_of_both_colours() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    sections = set(re.findall(r"^## (\w+)$", text, flags=re.MULTILINE))
    names = {name for name in (*credentials.__all__, *aio.__all__) if name.endswith("Credential")}
    names -= {"TokenCredential", "AsyncTokenCredential", "CertificateCredential"}
    assert names <= sections
    assert "`CertificateCredential`" in text


def test_the_table_of_places_names_every_class() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    table = text[text.index("## Which one") : text.index("## The common part")]
    sections = {name for name in re.findall(r"^## (\w+)$", text, flags=re.MULTILINE) if name.endswith("Credential")}
    assert sections <= set(re.findall(r"`(\w+)`", table))


def test_every_variable_that_the_credentials_read_is_in_the_document() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    told_to_a_tool = {"AZURE_CORE_NO_COLOR"}
    sources = Path(str(credentials.__file__)).parent.glob("_*.py")
    names = re.compile(r'"((?:AZURE|IDENTITY|MSI|IMDS|SYSTEM)_[A-Z_]+)"')
    read = {name for path in sources for name in names.findall(path.read_text(encoding="utf-8"))}
    assert {name for name in read - told_to_a_tool if name not in text} == set()
