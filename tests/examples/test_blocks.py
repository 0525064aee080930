"""Every block of code in the documents is run by a test, or says above itself why it is not.

Python is run by the tests named here; the other languages are read by what would read them: a shell, a parser.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import tomllib
from collections import Counter
from importlib.util import find_spec
from typing import Any

import pytest
import yaml

from example_apps.local import ROOT
from obo_middleware.command._main import COMMANDS
from tests.examples.blocks import Block, all_blocks, blocks, pages

ALL = list(all_blocks(pages()))
# Which tests run how many blocks of Python of which page. Who writes one more sees to it that it is run.
HERE, FRAMEWORKS = "tests/examples", "tests/frameworks"
RUN = {
    "README.md": (f"{HERE}/test_documents.py", 3),
    "docs/chains.md": (f"{FRAMEWORKS}/chain_site.py", 2),
    "docs/clients.md": (f"{FRAMEWORKS}/test_clients_document.py", 16),
    "docs/credentials.md": (f"{HERE}/test_credentials_document.py", 34),
    "docs/frameworks/bottle.md": (f"{FRAMEWORKS}/matrix.py", 1),
    "docs/frameworks/django.md": (f"{FRAMEWORKS}/test_django_page.py", 3),
    "docs/frameworks/fastapi.md": (f"{FRAMEWORKS}/matrix.py", 1),
    "docs/frameworks/flask.md": (f"{FRAMEWORKS}/test_flask_page.py", 2),
    "docs/frameworks/litestar.md": (f"{FRAMEWORKS}/matrix.py", 1),
    "docs/frameworks/mcp.md": (f"{FRAMEWORKS}/test_mcp.py", 4),
    "docs/frameworks/pyramid.md": (f"{FRAMEWORKS}/matrix.py", 1),
    "docs/frameworks/quart.md": (f"{FRAMEWORKS}/matrix.py", 1),
    "docs/frameworks/starlette.md": (f"{FRAMEWORKS}/matrix.py", 1),
    "docs/from-fastapi-azure-auth.md": (f"{HERE}/test_documents.py", 1),
    "docs/from-msal.md": (f"{HERE}/test_documents.py", 1),
    "docs/guide-azure-sdk.md": (f"{HERE}/test_guides.py", 2),
    "docs/guide-background.md": (f"{HERE}/test_guides.py", 1),
    "docs/guide-graph.md": (f"{HERE}/test_guides.py", 8),
    "docs/guide-step-up.md": (f"{HERE}/test_guides.py", 1),
    "docs/index.md": (f"{HERE}/test_documents.py", 1),
    "docs/protecting.md": (f"{HERE}/test_documents.py", 4),
    "docs/register-apps.md": (f"{HERE}/test_documents.py", 1),
    "docs/scaling.md": (f"{HERE}/test_scaling_document.py", 4),
    "docs/telemetry.md": (f"{HERE}/test_documents.py", 2),
    "docs/testing.md": (f"{HERE}/test_documents.py", 2),
    "docs/tutorial-fastapi.md": (f"{HERE}/test_tutorials.py", 2),
    "docs/tutorial-flask.md": (f"{HERE}/test_tutorials.py", 2),
}
PARSERS = {"json": json.loads, "toml": tomllib.loads, "yaml": yaml.safe_load}
SHELL = {".", "alias", "cat", "cd", "curl", "export", "mkdir", "set", "source", "unset"}
"""What a shell has on every machine."""
DIRECTIVES = {"{eval-rst}", "{include}"}
"""What the site's own build runs."""
PLAIN = {"text"}
PLACEHOLDER = re.compile(r"<[a-z][^<>\n]*>")


def of(*languages: str, marked: bool = False) -> list[Block]:
    return [block for block in ALL if block.language in languages and (marked or not block.reason)]


def test_every_block_of_python_is_run_by_a_test_that_is_named_here() -> None:
    found = Counter(block.document for block in blocks(pages()))
    assert found == {document: number for document, (_, number) in RUN.items()}
    assert [test for test, _ in RUN.values() if not (ROOT / test).is_file()] == []


@pytest.mark.parametrize("block", of("python", marked=True), ids=str)
def test_python_compiles(block: Block) -> None:
    compile(block.code, str(block), "exec")


def test_every_block_says_its_language() -> None:
    known = {"python", "sh", "diff", "js", *PARSERS, *DIRECTIVES, *PLAIN}
    assert {str(block): block.language for block in ALL if block.language not in known} == {}


def test_what_no_test_can_run_says_why() -> None:
    assert [str(block) for block in of("js")] == []


def test_every_mark_stands_above_a_block() -> None:
    marks = sum(path.read_text(encoding="utf-8").count("<!-- not run:") for path in pages())
    assert marks == sum(bool(block.reason) for block in ALL)


@pytest.mark.parametrize("block", of(*PARSERS), ids=str)
def test_data_parses(block: Block) -> None:
    PARSERS[block.language](block.code)


@pytest.mark.parametrize("block", of("diff"), ids=str)
def test_what_a_difference_adds_runs(block: Block) -> None:
    added = [line[1:] for line in block.code.splitlines() if line.startswith("+")]
    exec(compile("\n".join(added), str(block), "exec"), {})  # noqa: S102  # our own documents


def shell(block: Block) -> str:
    """Return a block for the shell, with what its reader fills in filled in."""
    return PLACEHOLDER.sub("filled-in", block.code)


@pytest.mark.parametrize("block", of("sh", marked=True), ids=str)
def test_a_shell_can_read_what_is_for_it(block: Block) -> None:
    command = ["sh", "-n"]
    done = subprocess.run(command, input=shell(block), text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("block", of("sh"), ids=str)
def test_every_command_exists(block: Block) -> None:
    lines = shell(block).replace("\\\n", " ").splitlines()
    commands = [shlex.split(line, comments=True) for line in lines]
    unknown = [command for command in commands if command and not exists(command)]
    assert unknown == []


def exists(command: list[str]) -> bool:
    """Tell whether a command can be given: it is the shell's, this project's, or that of a package the tests have."""
    name, *arguments = command
    match name:
        case "make":
            return all(re.search(rf"^{target}:", makefile(), re.MULTILINE) for target in arguments if "=" not in target)
        case "pip":
            return arguments[0] == "install" and all(extras_exist(one) for one in arguments[1:])
        case "python" | "python3":
            return arguments[0] == "-m" and find_spec(arguments[1]) is not None
        case "uvicorn" | "gunicorn" | "flask" | "pytest":
            return find_spec(name) is not None
        case "npm":
            return arguments[0] == "ci"
        case "obo-middleware":
            return subcommand_exists(arguments[0])
        case _:
            return name in SHELL or re.fullmatch(r"[A-Z_]+=.*", name) is not None


def makefile() -> str:
    return (ROOT / "Makefile").read_text(encoding="utf-8")


def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return found


def extras_exist(requirement: str) -> bool:
    """Tell whether the extras of this project that a requirement names are there; others' are their own."""
    match = re.fullmatch(r"(?:\.|obo-middleware)\[([\w,]+)\]", requirement)
    return match is None or set(match[1].split(",")) <= set(project()["optional-dependencies"])


def subcommand_exists(name: str) -> bool:
    """Tell whether the console script has a subcommand."""
    return "obo-middleware" in project()["scripts"] and name in COMMANDS
