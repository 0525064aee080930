"""A worker elsewhere: it resumes a session by its id, days later, and calls an API as the session's user.

``python -m tests.shared.session_worker ID DAYS`` prints what the API says of the user.
"""

from __future__ import annotations

import os
import sys
import time

from obo_middleware import DownstreamApi, OnBehalfOf, Settings


def main(session_id: str, days: str) -> None:
    apis = {"graph": DownstreamApi(os.environ["ADAPTERS_GRAPH"], scopes=["User.Read", "Mail.Read"])}
    ahead = float(days) * 86_400
    settings = Settings.from_env(
        downstream_apis=apis, token_store=os.environ["SHARED_STORE"], clock=lambda: time.time() + ahead
    )
    with OnBehalfOf(settings) as obo:
        context = obo.resume_session_blocking(session_id)
        print(context.client("graph").get("/me").raise_for_status().json()["id"])


if __name__ == "__main__":
    main(*sys.argv[1:])
