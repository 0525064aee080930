"""The public face: which modules are public, what each of them exports, and that all of it is documented."""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
import types
from collections.abc import Iterator
from pathlib import Path
from typing import ParamSpec, TypeVar

import pytest

from tests.gates.project import PACKAGES, ROOT, parsed, python_files

# A new public module is a promise to users: it is made by adding it here.
PUBLIC = [
    "credentials",
    "credentials.aio",
    "credentials.kernel",
    "obo_middleware",
    "obo_middleware.asgi",
    "obo_middleware.command",
    "obo_middleware.django",
    "obo_middleware.errors",
    "obo_middleware.fastapi",
    "obo_middleware.flask",
    "obo_middleware.redis",
    "obo_middleware.requests",
    "obo_middleware.rest_framework",
    "obo_middleware.telemetry",
    "obo_middleware.testing",
    "obo_middleware.wsgi",
]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_public(name: str) -> bool:
    return not any(part.startswith("_") for part in name.split("."))


def exports(name: str) -> list[tuple[str, object]]:
    module = importlib.import_module(name)
    return [(export, getattr(module, export)) for export in module.__all__]


def documented_assignments(tree: ast.Module) -> Iterator[str]:
    """Yield the top-level names whose assignment is followed by a docstring of its own."""
    for node, following in itertools.pairwise(tree.body):
        if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", node)]
            yield from (target.id for target in targets if isinstance(target, ast.Name))


def is_documented(name: str, value: object, documented_names: set[str]) -> bool:
    """Tell whether an export has words of its own: not inherited ones, nor those that dataclasses make up."""
    if not isinstance(value, type | types.FunctionType):
        return inspect.ismodule(value) or name in documented_names
    text = vars(value).get("__doc__") if isinstance(value, type) else value.__doc__
    return bool(text) and not str(text).startswith(f"{value.__name__}(")


@pytest.fixture(scope="module")
def documented_names() -> set[str]:
    return {name for path in python_files(*PACKAGES) for name in documented_assignments(parsed(path))}


def test_modules_that_are_not_public_have_an_underscore() -> None:
    found = [module_name(path) for path in python_files(*PACKAGES)]
    assert sorted(name for name in found if is_public(name)) == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_exports_are_listed_once_in_plain_sorted_order(name: str) -> None:
    listed = importlib.import_module(name).__all__
    assert list(listed) == sorted(set(listed))


@pytest.mark.parametrize("name", PUBLIC)
def test_every_listed_export_exists(name: str) -> None:
    module = importlib.import_module(name)
    assert [export for export in module.__all__ if not hasattr(module, export)] == []


@pytest.mark.parametrize("name", PUBLIC)
def test_everything_public_that_a_module_defines_is_listed(name: str) -> None:
    module = importlib.import_module(name)
    things = {key: value for key, value in vars(module).items() if not isinstance(value, TypeVar | ParamSpec)}
    own = {key for key, value in things.items() if getattr(value, "__module__", None) == name}
    assert {key for key in own if not key.startswith("_")} - set(module.__all__) == set()


@pytest.mark.parametrize("name", PUBLIC)
def test_every_export_has_a_docstring(name: str, documented_names: set[str]) -> None:
    missing = [key for key, value in exports(name) if not is_documented(key, value, documented_names)]
    assert missing == []


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_module_has_a_docstring(name: str) -> None:
    assert importlib.import_module(name).__doc__


def test_a_docstring_made_up_by_dataclass_does_not_count() -> None:
    made_up = type("Point", (), {"__doc__": "Point(x: int)"})
    assert not is_documented("Point", made_up, set())
    assert not is_documented("Child", type("Child", (ValueError,), {}), set())


def test_an_alias_counts_as_documented_by_the_string_after_it() -> None:
    tree = ast.parse('Clock = Callable[[], float]\n"""Returns seconds."""\nOther: int = 3\nLast = 1')
    assert set(documented_assignments(tree)) == {"Clock"}
