"""What the package `openai` does with a token provider, for the examples that use it; copied as `openai.py`.

As the package's clients for Azure do, it asks the provider before each request, awaits the answer if need be, and
sends it as the bearer token.
"""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import Any

import httpx


class _Client:
    def __init__(self, *, azure_endpoint: str, api_version: str, azure_ad_token_provider: Any) -> None:
        self._endpoint, self._version, self._provider = azure_endpoint, api_version, azure_ad_token_provider
        self.chat = SimpleNamespace(completions=self)

    def _request(self, model: str, messages: list[dict[str, str]], token: str) -> httpx.Request:
        return httpx.Request(
            "POST",
            f"{self._endpoint}/openai/deployments/{model}/chat/completions?api-version={self._version}",
            json={"messages": messages},
            headers={"Authorization": f"Bearer {token}"},
        )


class AzureOpenAI(_Client):
    def create(self, *, model: str, messages: list[dict[str, str]]) -> Any:
        with httpx.Client() as client:
            return _answer(client.send(self._request(model, messages, self._provider())))


class AsyncAzureOpenAI(_Client):
    async def create(self, *, model: str, messages: list[dict[str, str]]) -> Any:
        token = self._provider()
        token = await token if inspect.isawaitable(token) else token
        async with httpx.AsyncClient() as client:
            return _answer(await client.send(self._request(model, messages, token)))


def _answer(response: httpx.Response) -> Any:
    content = response.raise_for_status().json()["choices"][0]["message"]["content"]
    return SimpleNamespace(choices=[SimpleNamespace(message=SimpleNamespace(content=content))])
