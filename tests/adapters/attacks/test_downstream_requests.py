"""A client is its own request's: no other task, thread or request acts by it, and nothing of it stays behind."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from obo_middleware import DownstreamApi
from obo_middleware._lease import _at_hand
from obo_middleware.errors import RefusedRequestError, RequestEndedError
from tests.adapters.attacks.handlers import WAYS, Call, ClientOf, Context, Way, desk, serve_way
from tests.adapters.harness import CLOSE, check_problem, wait_for_the_end_of
from tests.adapters.outcomes import OURS
from tests.adapters.world import PATIENCE, World
from tests.core.hostile import Scripted

USER_READ = "https://graph.microsoft.com/User.Read"


class Lending:
    """The handler of one user lends what it has, and waits until the other one has tried it."""

    def __init__(self) -> None:
        self.client: Any = None
        self.credential: Any = None
        self._lent, self._tried = threading.Event(), threading.Event()

    async def awaitable(self, context: Any) -> Any:
        self.client, self.credential = context.client("api"), context.credential
        self._lent.set()
        await asyncio.to_thread(self._tried.wait, PATIENCE)
        return (await self.client.get("/me")).json()

    def blocking(self, context: Any, client: ClientOf) -> Any:
        self.client = client("api")
        self.credential = getattr(context, "blocking_credential", None) or context.credential
        self._lent.set()
        self._tried.wait(PATIENCE)
        return self.client.get("/me").json()

    def wait(self) -> None:
        assert self._lent.wait(PATIENCE)

    def end(self) -> None:
        self._tried.set()


class Borrowing:
    """The handler of another user tries what was lent: ``use`` it within its own request."""

    def __init__(self, lending: Lending, *, credential: bool) -> None:
        self._lending = lending
        self._credential = credential

    def _use(self) -> Any:
        lent = self._lending
        return lent.credential.get_token(USER_READ) if self._credential else lent.client.get("/me")

    async def awaitable(self, context: Any) -> Any:
        return str(await self._use())

    def blocking(self, context: Context, client: ClientOf) -> Any:
        return str(self._use())


class InTask(Borrowing):
    """The same, in a task or thread that this request started with its context."""

    async def awaitable(self, context: Any) -> Any:
        return str(await asyncio.ensure_future(super().awaitable(context)))

    def blocking(self, context: Context, client: ClientOf) -> Any:
        copied = contextvars.copy_context()
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(copied.run, super().blocking, context, client).result()


@pytest.mark.attack(172)
@pytest.mark.parametrize("kind", [Borrowing, InTask])
@pytest.mark.parametrize("credential", [False, True], ids=["client", "credential"])
def test_no_request_uses_what_belongs_to_another_that_still_runs(
    way: Way, world: World, api: Scripted, kind: type[Borrowing], credential: bool
) -> None:
    lending = Lending()
    desk.deeds = {world.object_id("alice"): lending, world.object_id("bob"): kind(lending, credential=credential)}
    with ThreadPoolExecutor(1) as pool:
        try:
            lender = pool.submit(way.do, lending, world.token("alice"))
            lending.wait()
            asked = len(world.entra.token_requests)
            check_problem(way.do(lending, world.token("bob")), 500, OURS)
            assert [type(error) for error in desk.errors] == [RefusedRequestError]
            assert (api.asked, len(world.entra.token_requests)) == ([], asked)
        finally:
            lending.end()
        assert lender.result().json() == {"ok": True}, "the client works for its own request on"


class Outliving:
    """The handler starts a task or a thread that goes on when its request is over, and then uses the client."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self._over, self._done = threading.Event(), threading.Event()
        self._kept: list[Any] = []
        self._context: Any = None

    async def awaitable(self, context: Any) -> Any:
        client, self._context = context.client("api"), context

        async def later() -> None:
            await asyncio.to_thread(self._over.wait, PATIENCE)
            try:
                await client.get("/me")
            except Exception as error:  # noqa: BLE001  # whatever it is, the test judges it
                self.error = error
            self._done.set()

        self._kept.append(asyncio.ensure_future(later()))
        return "started"

    def blocking(self, context: Any, client: ClientOf) -> Any:
        lent, self._context = client("api"), context

        def later() -> None:
            self._over.wait(PATIENCE)
            try:
                lent.get("/me")
            except Exception as error:  # noqa: BLE001  # whatever it is, the test judges it
                self.error = error
            self._done.set()

        thread = threading.Thread(target=contextvars.copy_context().run, args=(later,), daemon=True)
        thread.start()
        self._kept.append(thread)
        return "started"

    def let_go(self) -> None:
        """Wait until the request is over, and for what was started then."""
        deadline = time.monotonic() + PATIENCE
        while not self._context._lease.ended:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        self._over.set()
        assert self._done.wait(PATIENCE)


@pytest.mark.attack(172)
def test_what_outlives_its_request_sends_nothing(way: Way, world: World, api: Scripted) -> None:
    deed = Outliving()
    assert way.do(deed, world.token("alice")).status_code == 200
    deed.let_go()
    assert isinstance(deed.error, RequestEndedError)
    assert api.asked == []


class Keeping:
    """The handler keeps its client for the requests to come, and uses the first one that was kept."""

    def __init__(self) -> None:
        self.contexts: list[Any] = []
        self._kept: list[Any] = []

    async def awaitable(self, context: Any) -> Any:
        self.contexts.append(context)
        self._kept.append(context.client("api"))
        return (await self._kept[0].get("/me")).json()

    def blocking(self, context: Context, client: ClientOf) -> Any:
        self.contexts.append(context)
        self._kept.append(client("api"))
        return self._kept[0].get("/me").json()


@pytest.mark.attack(172)
def test_a_client_that_was_kept_serves_no_later_request_not_even_of_its_own_user(
    way: Way, world: World, api: Scripted
) -> None:
    deed = Keeping()
    assert way.do(deed, world.token("alice")).json() == {"ok": True}
    wait_for_the_end_of(deed.contexts[0])
    for name in ("bob", "alice"):
        desk.errors.clear()
        check_problem(way.do(deed, world.token(name)), 500, OURS)
        assert [type(error) for error in desk.errors] == [RequestEndedError]
    assert len(api.asked) == 1


# A worker's thread that is used again


class Looking:
    """Tell what a handler finds before it asks for anything."""

    async def awaitable(self, context: Any) -> Any:
        return self._seen(context)

    def blocking(self, context: Context, client: ClientOf) -> Any:
        return self._seen(context)

    def _seen(self, context: Context) -> Any:
        own = _at_hand.get() is context._lease
        user = None if context.user is None else context.user.object_id
        return {"user": user, "own": own}


class Failing:
    """Use the client, and fail."""

    async def awaitable(self, context: Any) -> Any:
        await context.client("api").get("/me")
        raise RuntimeError("a bug in the handler")

    def blocking(self, context: Context, client: ClientOf) -> Any:
        client("api").get("/me")
        raise RuntimeError("a bug in the handler")


class Outside:
    """What is around an app, and sees what the request before has left on its thread or in its task."""

    def __init__(self) -> None:
        self.found: list[object] = []
        self.threads: set[int] = set()

    def _look(self) -> None:
        self.found.append(_at_hand.get())
        self.threads.add(threading.get_ident())

    def around_asgi(self, app: Any) -> Any:
        async def outer(scope: Any, receive: Any, send: Any) -> None:
            self._look()
            await app(scope, receive, send)

        return outer

    def around_wsgi(self, app: Any) -> Any:
        def outer(environ: Any, start_response: Any) -> Any:
            self._look()
            return app(environ, start_response)

        return outer


@pytest.mark.attack(173)
@pytest.mark.parametrize("name", WAYS)
def test_a_thread_that_is_used_again_knows_nobody(name: str, world: World, api: Scripted) -> None:
    desk.clear()
    outside = Outside()
    around = outside.around_wsgi if name in ("wsgi", "flask") else outside.around_asgi
    own = DownstreamApi(f"{api.url}/v1", scopes=["User.Read"])
    settings = world.settings(required=False, downstream_apis={"api": own})
    way = serve_way(name, settings, around=around, threaded=False)
    try:
        seen = []
        for deed in (Looking(), Failing(), Call(), Looking()):
            way.do(deed, world.token("alice"), CLOSE if isinstance(deed, Failing) else None)
            seen.append(way.do(Looking(), None).json())
        seen.append(way.do(Looking(), world.token("bob")).json())
    finally:
        way.served.stop()
    assert seen == [*[{"user": None, "own": True}] * 4, {"user": world.object_id("bob"), "own": True}]
    assert set(outside.found) == {None}
    assert len(outside.threads) == 1
