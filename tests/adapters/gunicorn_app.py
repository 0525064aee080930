"""What gunicorn imports: the Flask and the WSGI app over a provider that the environment names."""

from __future__ import annotations

import logging
import os

import flask

from obo_middleware import DownstreamApi, Settings
from tests.adapters.apps import flask_app, wsgi_middleware

logging.basicConfig(level=logging.DEBUG)

settings = Settings.from_env(
    downstream_apis={
        "graph": DownstreamApi(os.environ["ADAPTERS_GRAPH"], scopes=["User.Read", "Mail.Read"], timeout=60)
    },
    public_paths=["/public", "/pid"],
)


def _served() -> flask.Flask:
    app = flask_app(settings)
    app.add_url_rule("/pid", "/pid", lambda: {"pid": os.getpid()})
    token = os.environ.get("ADAPTERS_TOKEN")
    if token:
        # With preload this happens in the parent: it leaves an open connection, keys and a cached token behind.
        response = app.test_client().get("/me", headers={"Authorization": f"Bearer {token}"})
        assert response.status_code == 200, response.text
    return app


in_flask = _served()
in_wsgi = wsgi_middleware(settings)
