from __future__ import annotations

import json
from typing import Any

import pytest

from tests.adapters.conftest import environment_of
from tests.adapters.harness import bearer
from tests.adapters.world import World
from tests.frameworks.pages import apps_in


def test_the_factory_of_the_page_needs_no_settings_in_its_code(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment_of(world).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("FLASK_OBO_DOWNSTREAM_APIS__graph__base_url", world.graph.base_url)
    monkeypatch.setenv("FLASK_OBO_DOWNSTREAM_APIS__graph__scopes", json.dumps(["User.Read"]))
    names: dict[str, Any] = {"__name__": "the_page"}
    exec(compile(apps_in("flask")[1].code, "docs/frameworks/flask.md", "exec"), names)  # noqa: S102  # our own document
    one, other = names["create_app"](), names["create_app"]()
    for app, user in ((one, "alice"), (other, "bob"), (one, "bob")):
        answer = app.test_client().get("/profiles/mine", headers=bearer(world.token(user)))
        assert (answer.status_code, answer.json["id"]) == (200, world.object_id(user))
    for app in (one, other):
        app.extensions["obo_middleware"].close()
