"""An adapter whose framework is not installed says in one sentence what to install."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.adapters.servers import ROOT

PROGRAM = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
        return None

sys.meta_path.insert(0, Blocker())
import obo_middleware.asgi, obo_middleware.wsgi
try:
    import obo_middleware.{framework}
except ImportError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("framework", "name", "package"),
    [
        ("flask", "Flask", "'obo-middleware[flask]'"),
        ("fastapi", "FastAPI", "'obo-middleware[fastapi]'"),
        ("django", "Django", "'obo-middleware[django]'"),
        ("rest_framework", "Django REST framework", "djangorestframework"),
        ("telemetry", "opentelemetry-api", "'obo-middleware[telemetry]'"),
    ],
)
def test_without_its_framework_an_adapter_says_what_to_install(framework: str, name: str, package: str) -> None:
    blocked = "opentelemetry" if framework == "telemetry" else framework
    program = PROGRAM.format(framework=framework, blocked=blocked)
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == f"obo_middleware.{framework} needs {name}: pip install {package}\n"
