"""Views of a project that forgot the middleware: they fail closed, and say what to add."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.http import HttpRequest
from django.test import RequestFactory

from obo_middleware import ConfigurationError
from tests.adapters.django_rest import profile, rest_orders
from tests.adapters.test_django import Orders, orders, orders_async

VIEWS = [orders, async_to_sync(orders_async), Orders.as_view(), profile, rest_orders]


@pytest.mark.parametrize("view", VIEWS)
def test_without_the_middleware_a_guarded_view_says_what_to_add(view: Callable[[HttpRequest], Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"add 'obo_middleware\.django\.OnBehalfOfMiddleware' to MIDDLEWARE"):
        view(RequestFactory().get("/"))
