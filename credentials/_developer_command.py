"""What the credentials of developer tools share: find the tool, run it, and understand its failures.

Rules of this file:

1. A tool is looked for in the absolute folders of ``PATH`` only, never in the current directory, and runs in a
   directory of the operating system: neither finds what somebody else has put there.
2. Arguments are checked for their characters before they are used; no shell ever sees them.
3. Nothing of a tool's standard output is shown where a token is expected in it; other texts are shown without
   what looks like a token.
4. The tokens are kept: a tool takes a second, and a hundred callers must not start a hundred of them.
"""

from __future__ import annotations

import base64
import logging
import os
import re
import shlex
import shutil
import time
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypedDict

from credentials._application import CACHE_SIZE, allowed_tenants, check_clock, one_of
from credentials._authority import check_scopes, check_tenant, resolve_tenant
from credentials._cache import key_of
from credentials._credential import TokenEngine, TokenQuery
from credentials._errors import (
    AuthenticationError,
    CommandError,
    CredentialUnavailableError,
    ProviderError,
    UnusableAnswerError,
    scrub,
)
from credentials._family import EngineFamily, Remakable
from credentials._flow import Command, CommandResult, Flow, execute
from credentials._log import event
from credentials._pool import bare_pool
from credentials._strict_json import parse_object
from credentials._token_answer import token_in_answer
from credentials._types import AccessTokenInfo, Clock, Place, TokenRequestOptions

_logger = logging.getLogger("credentials")

PROCESS_TIMEOUT = 10.0
"""Seconds that a tool may take, unless the application says otherwise."""
_SCOPE = re.compile(r"(?![-/])[A-Za-z0-9_.:/-]+")
_AADSTS = re.compile(r"AADSTS(\d{1,9})")
_EPOCH = re.compile(r"[0-9]{1,15}")
_OBJECT = re.compile(r"^[ \t]*\{", re.MULTILINE)
_A_DAY = 86_400


class ToolOptions(TypedDict, total=False):
    """Name the options that the credentials of all developer tools take.

    ``tenant_id`` is the tenant to ask for, by default the one that the tool is signed in to; a request may name
    another if ``additionally_allowed_tenants`` has it or ``"*"``. ``process_timeout`` is in seconds (10 if left out),
    ``process_timeout_in_ms`` the same in milliseconds, as in JavaScript. ``clock`` returns seconds since the epoch.
    """

    tenant_id: str
    additionally_allowed_tenants: Iterable[str] | None
    process_timeout: float | None
    process_timeout_in_ms: float | None
    clock: Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFacts:
    """Hold what is known of a tool: its ``title`` in texts, its file names and variables, and what to do without it."""

    title: str
    programs: tuple[str, ...]
    windows_programs: tuple[str, ...]
    not_found: str
    variables: Mapping[str, str]


class DeveloperTool(Remakable, EngineFamily):
    """Be a credential whose tokens a developer tool gives, for whoever is signed in to it."""

    _facts: ClassVar[ToolFacts]
    _subscription = ""

    def __init__(
        self,
        *,
        tenant_id: str = "",
        additionally_allowed_tenants: Iterable[str] | None = None,
        process_timeout: float | None = None,
        process_timeout_in_ms: float | None = None,
        clock: Clock = time.time,
    ) -> None:
        self._tenant_id = check_tenant(tenant_id) if tenant_id else ""
        allowed = allowed_tenants(additionally_allowed_tenants)
        # Without a tenant of its own the credential is bound to none, so each may be asked for.
        self._allowed = frozenset(allowed if tenant_id else "*")
        self._timeout = timeout_of(process_timeout, process_timeout_in_ms)
        check_clock(clock)
        self._engine = TokenEngine(cache_size=CACHE_SIZE, clock=clock)
        self._pool = bare_pool()

    @abstractmethod
    def _command_words(self, query: TokenQuery) -> tuple[str, ...]:
        """Return the arguments by which the tool gives the token."""

    @abstractmethod
    def _token_from(self, result: CommandResult) -> AccessTokenInfo:
        """Return the token in what came of the command; raises what is wrong with it."""

    def _query(self, scopes: tuple[str, ...], method: str, options: TokenRequestOptions) -> TokenQuery:
        requested = options.get("tenant_id") or None
        if requested is not None:
            check_tenant(requested)
        checked = self._check_scopes(scopes, method)
        tenant = resolve_tenant(self._tenant_id, requested, self._allowed)
        application = key_of(self._facts.title, tenant, self._subscription, *sorted(checked))
        return TokenQuery(scopes=checked, tenant_id=tenant, application=application, claims=options.get("claims"))

    def _check_scopes(self, scopes: tuple[str, ...], method: str) -> tuple[str, ...]:
        for position, scope in enumerate(scopes, 1):
            if not isinstance(scope, str) or not _SCOPE.fullmatch(scope):
                raise ValueError(f"scope {position} is not valid: it may have letters, digits and any of _ - . : /")
        return check_scopes(scopes, method)

    def _token_flow(self, query: TokenQuery) -> Flow[AccessTokenInfo]:
        try:
            return (yield from super()._token_flow(query))
        except AuthenticationError as error:
            if query.place is not Place.DEFAULT:
                raise
            # There it is one tool of several, and its trouble no reason not to ask the next one.
            raise CredentialUnavailableError(error.text) from error

    def _exchange_flow(self, query: TokenQuery) -> Flow[AccessTokenInfo]:
        facts = self._facts
        command = tool_command(facts, self._command_words(query), timeout=self._timeout)
        extra = event("obo.command.started")
        _logger.debug("%s runs %s", type(self).__name__, command.arguments[0], extra=extra)
        try:
            result = yield from execute(command)
        except CommandError as error:
            program = command.arguments[0]
            raise CredentialUnavailableError(f"{facts.title} at {program!r} cannot be started: {error}") from error
        except TimeoutError as error:
            raise CredentialUnavailableError(
                f"{facts.title} gave no answer within {self._timeout:g} seconds and was ended. Set process_timeout to "
                "more seconds if it is only slow"
            ) from error
        return self._token_from(result)


class OneResourceTool(DeveloperTool):
    """Be a tool that gives a token for one resource, and that has to be signed in to anew for claims."""

    @abstractmethod
    def _sign_in(self, claims: str, tenant_id: str, scope: str) -> str:
        """Return the instructions for signing in with claims (in base64); tenant and scope may be empty."""

    def _query(self, scopes: tuple[str, ...], method: str, options: TokenRequestOptions) -> TokenQuery:
        claims = options.get("claims")
        if claims:
            tenant_id = options.get("tenant_id") or self._tenant_id
            # Quoted: whoever reads the text may paste it into a shell.
            words = [shlex.quote(scrub(str(word))) if word else "" for word in (tenant_id, *scopes[:1], "")]
            raise CredentialUnavailableError(self._sign_in(base64_of(claims), words[0], words[1]))
        return super()._query(scopes, method, options)

    def _check_scopes(self, scopes: tuple[str, ...], method: str) -> tuple[str, ...]:
        checked = super()._check_scopes(scopes, method)
        if len(scopes) != 1:
            raise ValueError(f'"{method}" requires exactly one scope, since {self._facts.title} takes no more')
        return checked


def timeout_of(seconds: float | None, milliseconds: float | None) -> float:
    """Return the timeout in seconds; raises ``ValueError`` unless it is positive and given once."""
    for name, value, unit in (("process_timeout", seconds, 1), ("process_timeout_in_ms", milliseconds, 1000)):
        # No operating system waits for any number of seconds whatever.
        if value is not None and not (type(value) in (int, float) and 0 < value <= _A_DAY * unit):
            shown = repr(value) if isinstance(value, int | float) else f"(a {type(value).__name__})"
            raise ValueError(f"{name} {shown} must be a positive number, and a day at most")
    timeout = one_of("process_timeout", seconds, milliseconds and milliseconds / 1000)
    return float(timeout or PROCESS_TIMEOUT)


def base64_of(text: str) -> str:
    """Return a text's UTF-8 in base64."""
    return base64.b64encode(text.encode("utf-8", errors="replace")).decode()


def tool_command(
    facts: ToolFacts,
    arguments: tuple[str, ...],
    *,
    timeout: float,
    system: str = os.name,
    environ: Mapping[str, str] = os.environ,
) -> Command:
    """Return the command that runs a tool; ``system`` is ``"nt"`` for Windows (as ``os.name``).

    Raises :class:`CredentialUnavailableError` if the tool is not on the ``PATH``, or ``SYSTEMROOT`` is not set.
    """
    program = find_program(facts.windows_programs if system == "nt" else facts.programs, environ)
    if program is None:
        raise CredentialUnavailableError(facts.not_found)
    return Command(
        arguments=(program, *arguments),
        directory=safe_directory(system, environ),
        variables=facts.variables,
        timeout=timeout,
    )


def find_program(names: Iterable[str], environ: Mapping[str, str]) -> str | None:
    """Return the absolute path of the first of these programs that is on the ``PATH``, or None."""
    folders = [Path(folder) for folder in environ.get("PATH", os.defpath).split(os.pathsep)]
    # Each folder by itself: given a mere name, `which` looks into the current directory first on Windows.
    found = (shutil.which(str(folder / name)) for name in names for folder in folders if folder.is_absolute())
    return next(filter(None, found), None)


def safe_directory(system: str, environ: Mapping[str, str]) -> str:
    """Return a directory in which nobody else can put anything."""
    if system != "nt":
        return "/bin"
    root = environ.get("SYSTEMROOT")
    if not root:
        raise CredentialUnavailableError(
            "The environment variable SYSTEMROOT is not set, so no tool can be run. Set it, usually to C:\\Windows"
        )
    return root


def refusal(title: str, text: str) -> AuthenticationError:
    """Return the error for what a tool says when it gives no token; its text is scrubbed here."""
    said = scrub(text)
    codes = tuple(int(code) for code in _AADSTS.findall(said))
    answer = ProviderError(error_description=said, error_codes=codes)
    return AuthenticationError(f"{title} gave no token: {said or 'it does not say why'}", answer)


def unusable(title: str, problem: object) -> UnusableAnswerError:
    """Return the error for output that is not what the tool writes when all is well; nothing of it is shown."""
    return UnusableAnswerError(f"Unexpected output from {title}: it {problem}")


def object_in(output: str) -> dict[str, Any]:
    """Return the JSON object in a tool's output, which may have warnings before it; raises ``ValueError``."""
    start = _OBJECT.search(output)
    if start is None:
        raise ValueError("has no JSON object")
    try:
        return parse_object(output[start.start() :].encode("utf-8", errors="replace"))
    except ValueError as error:
        problem = str(error)
    raise ValueError(f"has no JSON object that can be read: {scrub(problem)}")


def epoch_of(value: object) -> int:
    """Return a time that is told in seconds since the epoch, as a number or a text; raises ``ValueError``."""
    text = str(value)
    if _EPOCH.fullmatch(text):
        return int(text)
    raise ValueError("does not say in seconds when the token expires")


def token_of(token: object, expires_on: int, now: float) -> AccessTokenInfo:
    """Return a token that a tool gave; raises ``ValueError`` for one that cannot be used."""
    return token_in_answer({"access_token": token, "expires_on": expires_on}, now)
