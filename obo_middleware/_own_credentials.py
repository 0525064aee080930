"""Notice a user's own ``credentials.py`` that hides our package of that name, before anything is imported from it."""

from __future__ import annotations

import importlib.util
from importlib.machinery import ModuleSpec
from pathlib import Path


def check_credentials_package(spec: ModuleSpec | None = None) -> None:
    """Raise ``ImportError`` that says what to rename, unless ``credentials`` is the package that came with this one."""
    found = spec or _find()
    origin = Path(found.origin) if found is not None and found.origin else None
    ours = Path(__file__).parent.parent / "credentials" / "__init__.py"
    if origin is None or origin.resolve() != ours.resolve():
        raise ImportError(
            f"obo_middleware needs its own package 'credentials', but under that name Python finds "
            f"{str(origin or 'another one')!r}. Rename that file or folder, or move it out of the import path."
        )


def _find() -> ModuleSpec | None:
    try:
        return importlib.util.find_spec("credentials")
    except ValueError:  # a module without a spec, such as a script's own
        return None
