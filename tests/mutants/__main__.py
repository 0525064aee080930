"""`make mutants`: take each security check out in turn, and say which test fails first.

`python -m tests.mutants [MODULE ...]` looks at some modules only, such as `_bearer`; all run in a copy of the tree, so
that the files may be edited meanwhile. Its status is 1 if a mutant survives.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
PARTS = ("credentials", "obo_middleware", "example_apps", "tests", "docs", "pyproject.toml", "README.md")


def main() -> int:
    folder = Path(tempfile.mkdtemp(prefix="obo-mutants-"))
    try:
        tree = folder / "tree"
        tree.mkdir()
        for part in PARTS:
            copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
            copy(ROOT / part, tree / part)
        # From there, -m puts the copy's packages before the installed ones.
        command = [sys.executable, "-m", "tests.mutants.report", str(folder), *sys.argv[1:]]
        return subprocess.run(command, cwd=tree, check=False, env=os.environ | {"PYTHONPATH": ""}).returncode
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
