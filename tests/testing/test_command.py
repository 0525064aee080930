from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from obo_middleware.testing import __main__ as command
from tests.testing.kit import JWT_BEARER, EndingOutput, bearer

ROOT = Path(__file__).parents[2]


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize("options", [[], ["--tls", "--users", "3", "--think-time", "0.01"]])
def test_it_prints_one_line_and_ends_when_told(options: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    output = EndingOutput()
    monkeypatch.setattr(sys, "stdout", output)
    command.main(options)
    document = json.loads(output.text)
    assert output.text.count("\n") == 1
    assert document["users"] == (5 if options else 2)
    assert document["authority"].startswith("https://" if options else "http://")
    assert (document["ca_pem_path"] is None) == (not options)


def test_it_serves_other_processes() -> None:
    line = [sys.executable, "-m", "obo_middleware.testing"]
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process, httpx.Client() as http:
        assert process.stdout is not None
        box = json.loads(process.stdout.readline())
        signed_in = http.post(f"{box['authority']}/_local/sign-in", json={"user": "bob"}).json()
        form = {
            "grant_type": JWT_BEARER,
            "requested_token_use": "on_behalf_of",
            "client_id": box["client_id"],
            "client_secret": box["client_secret"],
            "assertion": signed_in["access_token"],
            "scope": f"{box['graph_scope_prefix']}/User.Read",
        }
        answer = http.post(f"{box['authority']}/{box['tenant_id']}/oauth2/v2.0/token", data=form).json()
        response = http.get(f"{box['graph_base_url']}/me", headers=bearer(answer["access_token"]))
        assert response.json()["givenName"] == "Bob"
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
