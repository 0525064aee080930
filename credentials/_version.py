"""The distribution's version, and the name under which it sends requests."""

from __future__ import annotations

import platform

__version__ = "0.1.0"
USER_AGENT = f"obo-middleware/{__version__} Python/{platform.python_version()}"
"""The ``User-Agent`` of every request that the engine makes itself."""
