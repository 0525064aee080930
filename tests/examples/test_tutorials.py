"""The tutorials, from their files: the app is served and called as told there, and their tests pass."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from example_apps.local import ROOT, serving
from obo_middleware.testing import LocalEntra, LocalGraph
from tests.examples.blocks import all_blocks, blocks

SERVERS = {
    "fastapi": ("uvicorn", "--factory", "app:create_app", "--port", "0", "--app-dir"),
    "flask": ("gunicorn", "app:create_app()", "--bind", "127.0.0.1:0", "--chdir"),
}
TUTORIALS = pytest.mark.parametrize("framework", SERVERS)


def page(framework: str) -> Path:
    return ROOT / "docs" / f"tutorial-{framework}.md"


def written(framework: str, folder: Path) -> None:
    """Write the files of a tutorial as its reader does."""
    app, test = blocks([page(framework)])
    (folder / "app.py").write_text(app.code, encoding="utf-8")
    (folder / "test_app.py").write_text(test.code, encoding="utf-8")


@TUTORIALS
def test_the_api_answers_as_the_tutorial_says(
    framework: str, tmp_path: Path, entra: LocalEntra, graph: LocalGraph
) -> None:
    written(framework, tmp_path)
    variables = graph.environment
    json_blocks = [block.code for block in all_blocks([page(framework)]) if block.language == "json"]
    with (
        serving((*SERVERS[framework], str(tmp_path)), variables) as url,
        httpx.Client(base_url=url, trust_env=False, timeout=30.0) as client,
    ):
        token = httpx.get(f"{entra.authority}/_local/token/alice", trust_env=False).text
        headers = {"Authorization": f"Bearer {token}"}
        answers = [client.get("/me", headers=headers), client.get("/me")]
        assert [answer.json() for answer in answers] == [httpx.Response(200, text=text).json() for text in json_blocks]
        assert client.get("/whoami", headers=headers).json()["object_id"] == entra.alice.object_id
        assert client.get("/health").status_code == 200


@TUTORIALS
def test_the_tests_of_the_tutorial_pass(framework: str, tmp_path: Path) -> None:
    written(framework, tmp_path)
    # A user's folder has no settings for pytest; what Starlette's test client says of itself is not about this project.
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "obo_middleware_pytest",  # the one of all plugins here that the tutorial's reader has
        "--rootdir",
        str(tmp_path),
        "test_app.py",
    ]
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    variables["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout
