"""Flows are made only where they are run; the checker itself is checked on good and bad examples first."""

from __future__ import annotations

import ast

import pytest

from tests.gates.flow_rules import findings, helpers_of
from tests.gates.project import PACKAGES, ROOT, parsed, python_files, shown

HELPERS = frozenset({"send", "sleep"})
IMPORTS = "from credentials._flow import Flow, send, sleep\n"

GOOD = {
    "yield from": "def post_flow(r) -> Flow[int]:\n    answer = yield from send(r)\n    return answer",
    "yield from another": "def all_flow() -> Flow[int]:\n    yield from self._one_flow(1)",
    "handed on": "def get_flow(r) -> Flow[int]:\n    return self.post_flow(r)",
    "handed on as lambda": "def f():\n    g(lambda: self.post_flow(1))",
    "run by a driver": "def f():\n    return BlockingDriver(pool).run(post_flow(1))",
    "run by an async driver": "async def f():\n    return await self._driver.drive(post_flow(1))",
    "one of two": "def f_flow(c) -> Flow[int]:\n    return (yield from (a_flow() if c else b_flow()))",
    "a callback": "def f_flow(make: Callable[[], Flow[int]]) -> Flow[int]:\n    return (yield from make())",
    "not the helper": "async def app(scope, receive, transmit):\n    await client.send(1)\n    time.sleep(2)",
    "httpx's": "def auth_flow(self, r) -> Generator[R, S, None]:\n    yield r",
    "httpx's called": "def f(self, r):\n    inner = super().sync_auth_flow(r)",
    "lock for dictionary work": "def f():\n    with self._lock:\n        x = 1\n    yield x",
    "a function made under a lock": "def f():\n    with lock:\n        def g():\n            yield 1",
    "no lock": "def f():\n    with self.block, clock:\n        yield 1",
}

BAD = {
    "name does not say flow": "def post(r) -> Flow[int]:\n    return (yield from send(r))",
    "async name does not say flow": "def post(r) -> flow.Flow[int]:\n    return post_flow(r)",
    "name says flow": "def post_flow(r) -> int:\n    return 1",
    "no annotation": "def post_flow(r):\n    return (yield from send(r))",
    "effect of its own": "def post_flow(r) -> Flow[int]:\n    yield SendRequest(r)",
    "forgotten": "def f_flow() -> Flow[int]:\n    post_flow(1)\n    return (yield from send(2))",
    "assigned": "def f():\n    answer = self.post_flow(1)",
    "yielded": "def f():\n    yield post_flow(1)",
    "awaited": "async def f():\n    await post_flow(1)",
    "an argument": "def f():\n    g(post_flow(1))",
    "driver's keyword": "def f():\n    g.run(1, name=post_flow(1))",
    "compared": "def f():\n    return post_flow(1) or None",
    "a condition": "def f_flow() -> Flow[int]:\n    return a_flow() if b_flow() else c_flow()",
    "returned by a generator": "def f_flow() -> Flow[int]:\n    yield from send(1)\n    return post_flow(1)",
    "helper forgotten": "def f_flow() -> Flow[None]:\n    sleep(1)\n    yield from sleep(1)",
    "helper by its module": "from credentials import _flow\ndef f():\n    _flow.send(1)",
    "helper by the door": "from credentials.kernel import send as post\ndef f():\n    post(1)",
    "callback forgotten": "def f(make: Callable[[int], Flow[int]]) -> None:\n    make(1)",
    "callback forgotten in a closure": "def f(make: Callable[[], Flow[int]]):\n    def g():\n        make()",
    "yield under a lock": "def f():\n    with self._lock:\n        yield 1",
    "yield from under a lock": "def f():\n    with a, locks[k]:\n        if x:\n            yield from g()",
    "await under a lock": "async def f():\n    with table.lock:\n        await g()",
    "await under an async lock": "async def f():\n    async with self._lock:\n        await g()",
}


@pytest.mark.parametrize("code", GOOD.values(), ids=GOOD)
def test_the_checker_leaves_good_code_alone(code: str) -> None:
    assert findings(ast.parse(IMPORTS + code), helpers=HELPERS) == []


@pytest.mark.parametrize("code", BAD.values(), ids=BAD)
def test_the_checker_finds_one_problem_in_bad_code(code: str) -> None:
    assert len(findings(ast.parse(IMPORTS + code), helpers=HELPERS)) == 1


def test_the_checker_knows_the_helpers_by_their_definition() -> None:
    code = "def send(r) -> Flow[int]: ...\ndef post_flow(r) -> Flow[int]: ...\ndef scrub(text) -> str: ..."
    assert helpers_of(ast.parse(code)) == {"send"}


def test_every_flow_is_run_or_handed_on() -> None:
    home = ROOT / "credentials" / "_flow.py"
    helpers = helpers_of(parsed(home))
    assert {"send", "sleep", "wait_for", "ask", "call"} <= helpers
    problems = [
        f"{shown(path)}:{finding.line}: {finding.problem}"
        for path in python_files(*PACKAGES)
        for finding in findings(parsed(path), helpers=helpers, defines_helpers=path == home)
    ]
    assert problems == []
