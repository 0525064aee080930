"""The endpoints of LocalEntra that a browser visits: sign-in and sign-out."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from ._authorize import ReturnAddress, judge_return_address, judge_sign_in_request, may_return_to
from ._browser import ANSWERS, Visit, strengthened, take_step
from ._errors import EntraError, missing_parameter
from ._grant import BrowserSession, SignIn
from ._pages import error_page, login_page, signed_out_page
from ._provider import Provider
from ._tokens import client_info

COOKIE = "local_entra_session"
_PAGE = {
    "Cache-Control": "no-store",
    # Nobody may lay these pages under their own and have the user press "Accept" there.
    "Content-Security-Policy": "frame-ancestors 'none'; base-uri 'none'",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "strict-origin",
}


def read_form(request: Request, pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Return a form's fields; raise AADSTS900144 if it is no form, 9000411 if a field is there twice."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise missing_parameter("grant_type")
    form = dict(pairs)
    if len(form) != len(pairs):
        raise EntraError(9000411, "The request is not properly formatted. A parameter is duplicated.")
    return form


async def authorize(provider: Provider, request: Request) -> Response:
    """Answer an authorization request: with a page, or what the client gets."""
    # A link has no say in what the user answers, not even by a field that would be hidden in the next page.
    params = {name: value for name, value in request.query_params.items() if name not in ANSWERS}
    return _sign_in(provider, request, params, {})


async def login(provider: Provider, request: Request) -> Response:
    """Answer what a user sends from one of the pages."""
    pairs = parse_qsl((await request.body()).decode("utf-8", "replace"), keep_blank_values=True)
    form = read_form(request, pairs)
    answers = {name: form.pop(name) for name in ANSWERS if name in form}
    return _sign_in(provider, request, form, answers)


def _sign_in(provider: Provider, request: Request, params: dict[str, str], answers: dict[str, str]) -> Response:
    tenant = request.path_params["tenant"]
    with provider.lock:
        try:
            found = provider.state.tenant(tenant)
            address = judge_return_address(provider.state, params)
        except EntraError as error:
            return HTMLResponse(error_page(error), error.status, _PAGE)
        users = [one for one in provider.state.users.values() if found in (None, provider.state.tenants[one.tenant_id])]
    try:
        with provider.lock:
            wanted = judge_sign_in_request(provider.state, address, params)
        visit = Visit(tenant, params, address, wanted, users, answers)
        return _in_steps(provider, request, visit) if provider.interactive else _at_once(provider, visit)
    except EntraError as error:
        return _send_back(address, _as_answer(error))


def _as_answer(error: EntraError) -> dict[str, str]:
    answer = {"error": error.error, "error_description": str(error)}
    return answer if error.suberror is None else answer | {"error_subcode": error.suberror}


def _at_once(provider: Provider, visit: Visit) -> Response:
    if visit.silent:
        raise EntraError(50058, "A silent sign-in request was sent but no user is signed in.")
    client = visit.address.client
    chosen = next((one for one in visit.users if one.object_id == visit.answers.get("user")), None)
    if chosen is None:
        return HTMLResponse(login_page(visit.tenant, client, visit.users, visit.params), headers=_PAGE)
    sign_in = provider.sign_in_at_once(client, visit.request, chosen)
    return _with_code(provider, visit, sign_in)


def _in_steps(provider: Provider, request: Request, visit: Visit) -> Response:
    known = request.cookies.get(COOKIE, "")
    step = take_step(provider, visit, provider.browser_session(known))
    if step.session is None or step.page is not None:
        response: Response = HTMLResponse(step.page, headers=_PAGE)
    else:
        response = _with_code(provider, visit, strengthened(step.session.sign_in, visit.request))
    if step.session is not None:
        _remember(provider, request, response, step.session)
    return response


def _remember(provider: Provider, request: Request, response: Response, session: BrowserSession) -> None:
    """Keep a session under a new name, so that one that somebody planted in the browser is worth nothing."""
    name = secrets.token_urlsafe(24)
    provider.move_browser_session(request.cookies.get(COOKIE, ""), name, session)
    secure = request.url.scheme == "https"
    response.set_cookie(COOKIE, name, path="/", httponly=True, samesite="lax", secure=secure)


def _with_code(provider: Provider, visit: Visit, sign_in: SignIn) -> Response:
    answer = {"code": provider.issue_code(visit.address, visit.request, sign_in), "session_state": sign_in.sid}
    if visit.params.get("client_info") == "1":
        answer["client_info"] = client_info(sign_in.user)
    return _send_back(visit.address, answer)


def _send_back(address: ReturnAddress, answer: Mapping[str, str]) -> Response:
    if address.response_mode == "form_post":
        return HTMLResponse(address.form(answer), headers=_PAGE)
    return RedirectResponse(address.url(answer), 302, {"Cache-Control": "no-store"})


async def logout(provider: Provider, request: Request) -> Response:
    """End the browser's session (OpenID Connect RP-Initiated Logout 1.0), and go on to a registered address only."""
    provider.move_browser_session(request.cookies.get(COOKIE, ""), "", None)
    target, state = request.query_params.get("post_logout_redirect_uri", ""), request.query_params.get("state")
    with provider.lock:
        provider.state.tenant(request.path_params["tenant"])
        known = may_return_to(provider.state, target)
    if known:
        mark = "&" if "?" in target else "?"
        url = target if state is None else f"{target}{mark}{urlencode({'state': state})}"
        response: Response = RedirectResponse(url, 302, {"Cache-Control": "no-store"})
    else:
        response = HTMLResponse(signed_out_page(), headers=_PAGE)
    response.delete_cookie(COOKIE, path="/")
    return response
