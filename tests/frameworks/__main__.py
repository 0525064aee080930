"""Ask every framework behind every server, and write the table in docs/frameworks.md."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.adapters.world import Clock, new_world
from tests.frameworks.matrix import Site, combinations, line_of, row_of, write


def main() -> None:
    """Write the table anew."""
    lines = []
    with tempfile.TemporaryDirectory() as folder, new_world(Clock()) as world:
        for number, (name, server, framework, command) in enumerate(combinations()):
            print(f"{name} behind {server}", flush=True)
            site = Site(framework, command, Path(folder) / str(number), world)
            try:
                lines.append(line_of(name, server, row_of(site)))
            finally:
                site.stop()
    write(lines)


if __name__ == "__main__":
    main()
