"""An answer of a token endpoint, processed at a fixed time."""

from __future__ import annotations

from credentials._flow import HttpResponse
from credentials._token_endpoint import UserAssertion, process_token_response
from credentials._types import AccessTokenInfo
from tests.credentials.helpers import NOW

ALICE = UserAssertion(token="user-token", partition=b"p", object_id="alice-oid", tenant_id="home")


def process(response: HttpResponse, *requested: str, assertion: UserAssertion | None = None) -> AccessTokenInfo:
    return process_token_response(response, now=NOW, requested=requested, assertion=assertion)
