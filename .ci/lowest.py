"""Print pip constraints that hold the lowest versions that pyproject.toml allows.

The project's own dependencies and those of its extras get their lower bound; everything else, the peers and
tools of the tests above all, keeps the version of constraints.txt.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BOUND = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(\[[^]]*\])?>=(?P<version>[0-9][^,; ]*)")

# Packages that a lowered one pins exactly; they go where it goes.
FOLLOWERS = {
    "httpx2": ("httpcore2",),
    "opentelemetry-api": (
        "opentelemetry-exporter-prometheus",
        "opentelemetry-instrumentation",
        "opentelemetry-instrumentation-httpx",
        "opentelemetry-sdk",
        "opentelemetry-semantic-conventions",
        "opentelemetry-util-http",
        "wrapt",  # which both it and the instrumentation bound from above
    ),
}


def normalized(name: str) -> str:
    """Return a project's name in the one form in which names are compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def lower_bounds(project: dict[str, Any]) -> dict[str, str]:
    """Return the lowest allowed version of each dependency, those of extras included."""
    extras = project.get("optional-dependencies", {}).values()
    bounds: dict[str, str] = {}
    for requirement in [*project["dependencies"], *(entry for extra in extras for entry in extra)]:
        found = BOUND.match(requirement)
        if found is None:
            sys.exit(f"pyproject.toml: {requirement!r} has no lower bound")
        name, version = normalized(found["name"]), found["version"]
        if bounds.setdefault(name, version) != version:
            sys.exit(f"pyproject.toml: {name} has two lower bounds, {bounds[name]} and {version}")
    return bounds


def kept_pins(constraints: str, bounds: dict[str, str]) -> Iterator[str]:
    """Yield the pins of a constraints file that lowering the others leaves alone."""
    moved = {*bounds, *(follower for name in bounds for follower in FOLLOWERS.get(name, ()))}
    for line in constraints.splitlines():
        name, separator, _ = line.partition("==")
        if separator and normalized(name) not in moved:
            yield line


def main() -> None:
    """Print the constraints: the lowered ones first, then the pins that stay."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["project"]
    bounds = lower_bounds(project)
    print(*(f"{name}=={version}" for name, version in sorted(bounds.items())), sep="\n")
    print(*kept_pins((HERE / "constraints.txt").read_text(), bounds), sep="\n")


if __name__ == "__main__":
    main()
