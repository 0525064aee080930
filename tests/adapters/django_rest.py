"""Views of Django REST framework, which wants a project to be there when it is imported."""

from __future__ import annotations

from typing import Any

from tests.adapters.django_project import Urls  # isort: split

from rest_framework.decorators import api_view, authentication_classes, permission_classes, throttle_classes
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.throttling import UserRateThrottle

from obo_middleware.rest_framework import OnBehalfOfAuthentication, has_scopes


@api_view(["GET"])
@authentication_classes([OnBehalfOfAuthentication])
@permission_classes([IsAuthenticated])
def profile(request: Any) -> Response:
    assert request.auth.user is request.user
    return Response({"user": request.user.object_id, "graph": request.obo.client("graph").get("/me").json()["id"]})


@api_view(["GET"])
@authentication_classes([OnBehalfOfAuthentication])
@permission_classes([has_scopes("orders.read")])
def rest_orders(request: Any) -> Response:
    return Response({"user": request.user.object_id})


class TwiceADay(UserRateThrottle):
    rate = "2/day"


@api_view(["GET"])
@authentication_classes([OnBehalfOfAuthentication])
@throttle_classes([TwiceADay])
def rationed(request: Any) -> Response:
    return Response({"user": request.user.object_id})


REST = Urls(profile=profile, orders=rest_orders, rationed=rationed)
