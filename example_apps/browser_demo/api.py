"""The web API of the demo: FastAPI with the middleware, written as any API would be. The other files are the demo."""

from __future__ import annotations

from typing import Annotated, Any

import httpx
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from example_apps.browser_demo.recorder import Recorded
from obo_middleware.fastapi import CurrentUser, downstream, require_scopes

router = APIRouter(prefix="/api", dependencies=[require_scopes("access_as_user")])
GraphAsUser = Annotated[httpx.AsyncClient, downstream("graph")]


@router.get("/mailbox")
async def mailbox(graph: GraphAsUser, user: CurrentUser, recorded: Recorded) -> dict[str, Any]:
    recorded.watch(graph)  # for the picture only: it notes when requests to Graph leave and come back
    profile = (await graph.get("/me")).raise_for_status().json()
    page = (await graph.get("/me/messages", params={"$top": 5})).raise_for_status().json()
    return {
        "profile": {
            "name": profile["displayName"],
            "mail": profile["mail"],
            "id": user.object_id,
        },
        "messages": [{"subject": message["subject"], "preview": message["bodyPreview"]} for message in page["value"]],
    }


async def graph_refused(_request: Request, error: Exception) -> JSONResponse:
    """Answer where Graph refused what is not about tokens, such as an outage of its own."""
    return JSONResponse({"title": "Microsoft Graph refused", "detail": type(error).__name__}, status_code=502)
