"""Run the command as ``python -m obo_middleware``."""

from __future__ import annotations

import sys

from obo_middleware.command import main

sys.exit(main())
