"""The distribution as its users get it: built, and installed into empty environments elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Callable
from email import message_from_bytes
from email.message import Message
from functools import cache
from pathlib import Path

import pytest

from tests.gates.project import PACKAGES, ROOT

pytestmark = [pytest.mark.wheel, pytest.mark.timeout(300)]

CORE = {"cachetools", "cryptography", "httpx", "pyjwt"}
FRAMEWORK_FREE = [
    "obo_middleware",
    "credentials",
    "credentials.aio",
    "obo_middleware.asgi",
    "obo_middleware.wsgi",
]
ADAPTERS = {
    "asgi": ["starlette", "obo_middleware.asgi"],
    "cli": ["rich", "obo_middleware.command"],
    "django": ["obo_middleware.django"],
    "fastapi": ["obo_middleware.fastapi", "obo_middleware.asgi"],
    "flask": ["obo_middleware.flask", "obo_middleware.wsgi"],
    "httpx2": ["httpx2", "obo_middleware"],
    "redis": ["redis", "obo_middleware"],
    "requests": ["obo_middleware.requests"],
    "telemetry": ["obo_middleware.telemetry"],
    "testing": ["obo_middleware.testing"],
}
FRAMEWORKS = ["fastapi", "flask", "starlette"]

# Taken before a test's environment is cleaned: pip may need a proxy, or a certificate of its own.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}

Install = Callable[[str], Path]
"""Installs the wheel with one extra, or with none for an empty name; returns the environment's Python."""


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, check=False)


def run_or_fail(*command: str | Path, cwd: Path) -> None:
    result = run(*command, cwd=cwd)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the source distribution, and the wheel from it."""
    folder = tmp_path_factory.mktemp("dist")
    run_or_fail(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    return next(dist.glob("*.whl"))


@pytest.fixture(scope="module")
def install(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Install:
    """Make each environment once, when a test asks for it first."""

    @cache
    def installed(extra: str) -> Path:
        folder = tmp_path_factory.mktemp(f"venv-{extra or 'core'}")
        venv.create(folder, with_pip=False, symlinks=True)
        pip = (sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install", "--quiet", "--no-compile")
        constraints = ("--disable-pip-version-check", "--constraint", ROOT / ".ci" / "constraints.txt")
        run_or_fail(*pip, *constraints, f"{wheel}[{extra}]" if extra else wheel, cwd=folder)
        return folder / "bin" / "python"

    return installed


def import_in(python: Path, *modules: str) -> subprocess.CompletedProcess[str]:
    """Import modules in that environment, with nothing else on the path and warnings as errors."""
    return run(python, "-I", "-W", "error", "-c", f"import {', '.join(modules)}", cwd=python.parent)


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return message_from_bytes(archive.read(name))


def test_the_wheel_holds_its_packages_and_nothing_else(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {*PACKAGES, "obo_middleware_pytest"}


@pytest.mark.parametrize("package", PACKAGES)
def test_the_wheel_says_that_its_packages_are_typed(wheel: Path, package: str) -> None:
    assert f"{package}/py.typed" in zipfile.ZipFile(wheel).namelist()


def test_the_wheel_holds_the_license(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert [name for name in names if re.fullmatch(r"[^/]+\.dist-info/licenses/LICENSE", name)] != []


def test_the_wheel_needs_the_four_core_dependencies_only(wheel: Path) -> None:
    needed = [line for line in metadata(wheel).get_all("Requires-Dist", []) if "extra ==" not in line]
    assert {re.split(r"[^\w-]", line)[0].lower() for line in needed} == CORE


def test_the_wheel_offers_exactly_the_extras_that_are_tested(wheel: Path) -> None:
    assert set(metadata(wheel).get_all("Provides-Extra", [])) == set(ADAPTERS)


def test_the_source_distribution_holds_the_tests(dist: Path) -> None:
    with tarfile.open(next(dist.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "Makefile", "tests/conftest.py", ".ci/constraints.txt"} <= names


def test_the_core_imports_without_any_web_framework(install: Install) -> None:
    python = install("")
    assert all(import_in(python, name).returncode != 0 for name in FRAMEWORKS)
    result = import_in(python, *FRAMEWORK_FREE)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("name", FRAMEWORK_FREE)
def test_each_framework_free_module_can_be_the_first_import(install: Install, name: str) -> None:
    result = import_in(install(""), name)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("extra", ["fastapi", "flask"])
def test_an_adapter_without_its_framework_names_the_extra_to_install(install: Install, extra: str) -> None:
    result = import_in(install(""), f"obo_middleware.{extra}")
    last_line = result.stderr.strip().splitlines()[-1]
    assert re.match(r"(ImportError|ModuleNotFoundError): ", last_line), result.stderr
    assert f"obo-middleware[{extra}]" in last_line


@pytest.mark.parametrize("extra", ADAPTERS)
def test_each_extra_alone_imports_its_own_adapter(install: Install, extra: str) -> None:
    result = import_in(install(extra), *ADAPTERS[extra])
    assert result.returncode == 0, result.stderr
