"""A downstream API that costs next to nothing: one canned answer to whatever is asked, from a process of its own.

With the option ``think_time`` it waits so many seconds before each answer.
"""

from __future__ import annotations

import asyncio
import functools
import json
import signal

from tests.benchmarks.processes import options, say

_PROFILE = {
    "@odata.context": "https://graph.microsoft.com/v1.0/$metadata#users/$entity",
    "businessPhones": ["+49 30 901820"],
    "displayName": "Alice Adams",
    "givenName": "Alice",
    "jobTitle": "Engineer",
    "mail": "alice@contoso.example",
    "mobilePhone": None,
    "officeLocation": "12/1110",
    "preferredLanguage": "en-US",
    "surname": "Adams",
    "userPrincipalName": "alice@contoso.example",
    "id": "48d31887-5fad-4d73-a9f5-3c356e68a038",
}
_BODY = json.dumps(_PROFILE).encode()
_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(_BODY), _BODY)
_END = b"\r\n\r\n"


class _Api(asyncio.Protocol):
    def __init__(self, think_time: float) -> None:
        self._think_time = think_time
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *requests, self._read = (self._read + data).split(_END)
        answers = _ANSWER * len(requests)
        if self._think_time and answers:
            asyncio.get_running_loop().call_later(self._think_time, self._transport.write, answers)
        else:
            self._transport.write(answers)


async def main() -> None:
    """Serve until a signal comes."""
    loop, ending = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ending.set)
    server = await loop.create_server(functools.partial(_Api, options().get("think_time", 0.0)), "127.0.0.1", 0)
    say(url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1.0")
    await ending.wait()
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
