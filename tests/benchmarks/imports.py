"""What ``import obo_middleware.asgi`` takes, against what it cannot do without: ``import httpx, jwt``.

Fresh processes that take turns; processor time of the import alone, of compiled modules, as pip installs them.
``azure`` is hidden from both: with azure-core installed our errors derive from its errors, and who installed it pays
for its import anyway.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile

from tests.benchmarks.table import Row, milli

FACTOR = 1.2
_TIMED = """
import sys, time
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {hidden!r}:
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Hidden())
started = time.process_time()
{statement}
print(time.process_time() - started)
"""
STATEMENTS = {
    "ours": ("import obo_middleware.asgi", ("azure",)),
    "floor": ("import httpx, jwt", ("azure",)),
    "peer": ("import msal, azure.identity", ()),
}


def import_time(statement: str, hidden: tuple[str, ...], compiled: str) -> float:
    """Return the processor seconds of an import in a fresh process that does not find the hidden packages."""
    code = _TIMED.format(statement=statement, hidden=hidden)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = compiled
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment)
    return float(result.stdout)


def run(*, quick: bool) -> list[Row]:
    """Measure, and return the row."""
    found: dict[str, list[float]] = {name: [] for name in STATEMENTS}
    with tempfile.TemporaryDirectory() as compiled:
        for turn in range(1 if quick else 16):
            for name, (statement, hidden) in STATEMENTS.items():
                seconds = import_time(statement, hidden, compiled)
                if quick or turn:  # the first turn compiles
                    found[name].append(seconds)
    ours, floor, peer = (statistics.median(times) for times in found.values())
    ratio = statistics.median(a / b for a, b in zip(found["ours"], found["floor"], strict=True))
    return [
        Row(
            what="import obo_middleware.asgi (azure-core hidden)",
            ours=f"{milli(ours)}, {ratio:.2f} x",
            budget=f"<= {FACTOR} x import httpx, jwt",
            floor=f"{milli(floor)} (import httpx, jwt)",
            peers=f"import msal, azure.identity {milli(peer)}",
            within=ratio <= FACTOR,
        )
    ]
