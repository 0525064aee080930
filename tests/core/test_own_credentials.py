from __future__ import annotations

import os
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from obo_middleware._own_credentials import check_credentials_package

ROOT = Path(__file__).parent.parent.parent
MARK = "the stranger's code ran"
SENTENCE = "obo_middleware needs its own package 'credentials', but under that name Python finds"


def run_script(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Run a script from its folder as users do, with our packages on the path after that folder."""
    script = folder / "app.py"
    script.write_text(text)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, str(script)], env=environment, cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("name", ["credentials.py", "credentials/__init__.py"])
@pytest.mark.parametrize("module", ["obo_middleware", "obo_middleware.asgi", "obo_middleware.errors"])
def test_credentials_beside_the_app_are_named_in_one_sentence_and_never_run(
    tmp_path: Path, name: str, module: str
) -> None:
    theirs = tmp_path / name
    theirs.parent.mkdir(exist_ok=True)
    theirs.write_text(f'print("{MARK}")\nUSER = "me"\n')
    done = run_script(tmp_path, f"import {module}\n")
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"ImportError: {SENTENCE}")
    assert repr(str(theirs)) in last
    assert "Rename that file or folder" in last
    assert MARK not in done.stdout
    assert "AttributeError" not in done.stderr


def test_credentials_that_the_app_has_imported_already_are_named_too(tmp_path: Path) -> None:
    (tmp_path / "credentials.py").write_text("USER = 'me'\n")
    done = run_script(tmp_path, "import credentials\nimport obo_middleware\n")
    assert SENTENCE in done.stderr.splitlines()[-1]


def test_an_app_that_is_itself_called_credentials_gets_the_sentence(tmp_path: Path) -> None:
    text = "import sys\nsys.modules['credentials'] = sys.modules['__main__']\nimport obo_middleware\n"
    done = run_script(tmp_path, text)
    assert f"ImportError: {SENTENCE} 'another one'" in done.stderr


def test_a_folder_of_that_name_without_python_in_it_disturbs_nobody(tmp_path: Path) -> None:
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "key.pem").write_text("x")
    done = run_script(tmp_path, "import obo_middleware\nprint(obo_middleware.Settings.__name__)\n")
    assert (done.stdout.strip(), done.stderr) == ("Settings", "")


def test_our_own_package_passes_the_check() -> None:
    check_credentials_package()


@pytest.mark.parametrize("spec", [ModuleSpec("credentials", None), ModuleSpec("credentials", None, origin="frozen")])
def test_a_package_without_a_file_is_not_ours(spec: ModuleSpec) -> None:
    with pytest.raises(ImportError, match="Rename that file or folder"):
        check_credentials_package(spec)


def test_importing_the_middleware_imports_no_web_framework(tmp_path: Path) -> None:
    text = (
        "import sys\n"
        "import obo_middleware.asgi, obo_middleware.wsgi\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "others = {'starlette', 'flask', 'fastapi', 'uvicorn', 'werkzeug', 'trustme', 'httpx2', 'msal'}\n"
        "print(sorted(loaded & others))\n"
    )
    done = run_script(tmp_path, text)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
