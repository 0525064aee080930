from __future__ import annotations

from typing import Any

from django.test import Client, override_settings

from obo_middleware.django import on_behalf_of
from tests.adapters.django_project import Urls
from tests.adapters.harness import bearer
from tests.adapters.world import World
from tests.frameworks.pages import apps_in


def test_the_view_of_the_rest_framework_in_the_page_knows_the_user(world: World) -> None:
    names: dict[str, Any] = {"__name__": "the_page"}
    exec(compile(apps_in("django")[2].code, "docs/frameworks/django.md", "exec"), names)  # noqa: S102  # our own document
    with override_settings(OBO=world.settings(), TEST_URLS=Urls(profile=names["profile"])):
        for name in ("alice", "bob"):
            answer = Client().get("/profile", headers=bearer(world.token(name))).json()
            assert (answer["id"], answer["graph"]["id"]) == (world.object_id(name), world.object_id(name))
        on_behalf_of().close()
