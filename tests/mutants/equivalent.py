"""The changes that change nothing, with the reasons: by place and change, as the table shows them.

One that is not found in the code any more fails the run, and so does one that a test notices.
"""

from __future__ import annotations

EQUIVALENT: dict[tuple[str, str], str] = {}
