"""The command ``obo-middleware``: look at settings and tokens, and run a provider on this machine.

Each command has a module of its own, with ``add_arguments(parser)`` and ``run(options, out)``, which returns the exit
code. What is shown to people needs the package ``rich``; what machines read does not.
"""

from __future__ import annotations

from ._main import main

__all__ = ["main"]
