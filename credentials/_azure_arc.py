"""Managed identity on a server with the Azure Arc agent: the agent wants proof that its caller may read a file of its.

The first request is answered with the path of a key file that only privileged users may read; the second one carries
the file's content. Facts: Microsoft's "Authenticate against Azure resources with Azure Arc-enabled servers", and
azure-identity.

Rules of this file:

1. The path comes from whoever listens on the port. It is judged as text before the file system hears of it, and only
   a plain, small file in the agent's own directory is read.
2. The key goes to this machine only, to the URL that asked for it, and once for each token.
3. No error, and no ``repr``, holds the key.
"""

from __future__ import annotations

import os
import re
import stat
import sys
import urllib.parse
from collections.abc import Mapping

from credentials._errors import AuthenticationError, CredentialUnavailableError, ProviderError, scrub
from credentials._flow import Flow, HttpRequest, HttpResponse
from credentials._managed_identity_answer import (
    Identity,
    IdentityQuery,
    ask_flow,
    endpoint_url,
    identity_request,
    process_identity_response,
)
from credentials._pool import ConnectionPool, bare_pool, is_loopback
from credentials._strict_json import parse_object
from credentials._types import AccessTokenInfo, is_header_safe

_NAME = "Azure Arc"
_API_VERSION = "2020-06-01"
_LARGEST_KEY = 4096
_KEY_NAME = re.compile(r"[\w.-]+", re.ASCII)
# Not through a symbolic link, and without waiting for the writer of a pipe; what a platform has not, it does not need.
_OPEN_FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))
_WHO_MAY_READ = (
    "the keys of the Azure Arc agent can be read by root and members of the group himds (on Windows: by administrators "
    "and 'Hybrid agent extension applications'): add this program's user to it and start the program again"
)


class AzureArc:
    """Get tokens from the Azure Arc agent of this machine.

    ``endpoint`` is what ``IDENTITY_ENDPOINT`` says. ``key_directory`` replaces the directory of the agent's keys,
    which depends on the ``platform`` (as :data:`sys.platform`) and, on Windows, on ``PROGRAMDATA`` in ``environ``.
    """

    name = _NAME

    def __init__(
        self,
        endpoint: str,
        *,
        pool: ConnectionPool | None = None,
        key_directory: str | None = None,
        platform: str = sys.platform,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self.pool = pool or bare_pool()
        self._endpoint = endpoint
        self._directory = key_directory
        self._platform = platform
        self._environ = environ

    def token_flow(self, query: IdentityQuery) -> Flow[AccessTokenInfo]:
        """Return a new token.

        Raises :class:`CredentialUnavailableError` if this machine has no agent, or none that asks for proof, and
        :class:`AuthenticationError` for a challenge that is not the agent's, an unreadable key, and a refusal.
        """
        endpoint = _loopback_url(self._endpoint)
        directory = self._directory or default_key_directory(self._platform, self._environ)
        challenge = yield from ask_flow(arc_request(endpoint, query), _NAME)
        path = process_challenge_response(challenge, now=query.now)
        key = read_key(path, directory, separator="\\" if self._platform == "win32" else "/")
        response = yield from ask_flow(arc_request(endpoint, query, key), _NAME)
        return process_arc_response(response, identity=query.identity, now=query.now, key=key)


def _loopback_url(endpoint: str) -> str:
    url = endpoint_url("IDENTITY_ENDPOINT", endpoint)
    # The agent listens on the loopback interface only, and the key is a secret of root's: it stays on this machine.
    parts = urllib.parse.urlsplit(url)
    if is_loopback(parts.hostname or ""):
        # The agent listens on IPv4. By name the connection might go to ::1 first, where any user may listen.
        return parts._replace(netloc=parts.netloc.lower().replace("localhost", "127.0.0.1")).geturl()
    raise CredentialUnavailableError(
        "the environment variable IDENTITY_ENDPOINT must be a URL on this machine, such as "
        "http://localhost:40342/metadata/identity/oauth2/token, for the Azure Arc agent is never on another one"
    )


def default_key_directory(platform: str, environ: Mapping[str, str]) -> str:
    """Return where the agent keeps its keys; raises :class:`CredentialUnavailableError` where there is no agent."""
    if platform.startswith("linux"):
        return "/var/opt/azcmagent/tokens"
    if platform != "win32":
        raise CredentialUnavailableError(f"{_NAME} managed identity: there is no agent for the platform {platform}")
    data = environ.get("PROGRAMDATA")
    if not data:
        raise CredentialUnavailableError(
            f"{_NAME} managed identity: set the environment variable PROGRAMDATA, usually to C:\\ProgramData"
        )
    return data + "\\AzureConnectedMachineAgent\\Tokens"


def arc_request(endpoint: str, query: IdentityQuery, key: str = "") -> HttpRequest:
    """Return the request for a token; ``key`` is the proof, which the first request does not have."""
    parameters = {"api-version": _API_VERSION, "resource": query.resource}
    headers = {"Metadata": "true", **({"Authorization": f"Basic {key}"} if key else {})}
    return identity_request(endpoint, parameters | query.identity.parameters(resource_id="msi_res_id"), headers)


def process_challenge_response(response: HttpResponse, *, now: float) -> str:
    """Return the path of the key file that the agent's challenge names (RFC 7617 section 2, the realm).

    Raises :class:`AuthenticationError` for a malformed challenge, :class:`CredentialUnavailableError` for a token
    without one: then it is not the agent who listens there, and whose token this is nobody knows.
    """
    if response.status == 200:
        raise CredentialUnavailableError(
            f"{_NAME} managed identity: the endpoint gave a token without a challenge, so it is not the agent's"
        )
    if response.status != 401:
        # A refusal, which raises: a token comes with status 200 only.
        process_identity_response(response, source=_NAME, now=now)
    scheme, _, parameter = response.headers.get("www-authenticate", "").strip().partition(" ")
    if scheme.lower() != "basic":
        raise _refusal("the challenge's WWW-Authenticate header is absent or not of the scheme Basic", response.status)
    name, _, realm = parameter.partition("=")
    path = _unquoted(realm.strip())
    if name.strip().lower() != "realm" or path is None:
        raise _refusal("the challenge's WWW-Authenticate header is not of the form Basic realm=<path>", response.status)
    return path


def _unquoted(value: str) -> str | None:
    """Return a parameter's value without the quotes that it may have, or None if it is more than one value."""
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = value[1:-1]
    return None if '"' in value or "," in value else value


def read_key(path: str, directory: str, *, separator: str = "/") -> str:
    """Return the key in a file that a challenge names; raises :class:`AuthenticationError` for any other file."""
    _check_path(path, directory, separator)
    try:
        content = _content(path)
    except FileNotFoundError:
        raise _refusal(f"the key file {path} does not exist, or no longer; {_WHO_MAY_READ}") from None
    except (OSError, ValueError) as error:
        problem = getattr(error, "strerror", None) or type(error).__name__
        raise _refusal(f"the key file {path} cannot be read: {problem}; {_WHO_MAY_READ}") from error
    if len(content) > _LARGEST_KEY:
        raise _refusal(f"the file size of the key file is more than {_LARGEST_KEY} bytes")
    # White space around a header's value does not count (RFC 9110 section 5.5); any within could not be sent.
    key = content.strip().decode("latin-1")
    if not is_header_safe(key):
        raise _refusal("the key file is empty or has characters that no HTTP header may have")
    return key


def _check_path(path: str, directory: str, separator: str) -> None:
    if not path:
        raise _refusal("the path of the key file in the challenge is empty")
    name = path.removeprefix(directory + separator)
    # One plain name: nothing in it can lead elsewhere, whatever a platform makes of dots, slashes and colons.
    if path != directory + separator + name or not _KEY_NAME.fullmatch(name) or ".." in name:
        raise _refusal(f"Unexpected file path in the challenge: not a file in {directory}: {scrub(path)[:256]}")
    if not name.endswith(".key"):
        raise _refusal("the key file in the challenge does not have the extension .key")


def _content(path: str) -> bytes:
    """Return a file's content, one byte more than a key may have at most; what is no plain file is not read."""
    descriptor = os.open(path, _OPEN_FLAGS)
    try:
        # The opened file is looked at, and not its name, which may mean another one by now.
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _refusal("the key file in the challenge is not a regular file")
        return os.read(descriptor, _LARGEST_KEY + 1)
    finally:
        os.close(descriptor)


def process_arc_response(response: HttpResponse, *, identity: Identity, now: float, key: str) -> AccessTokenInfo:
    """Return the token in the agent's answer to the ``key``, which errors do not show.

    An agent that does not know of user-assigned identities ignores their parameters and gives the machine's own
    token: raises :class:`AuthenticationError` unless the answer names the identity that was asked for.
    """
    info = process_identity_response(response, source=_NAME, now=now, secret=key)
    answer = parse_object(response.body)
    for name, wanted in identity.parameters(resource_id="msi_res_id").items():
        told = [answer[n] for n in (name, name.replace("msi_", "mi_")) if n in answer]
        if not told or any(not isinstance(value, str) or value.lower() != wanted.lower() for value in told):
            raise _refusal(f"the agent did not confirm the {name} that was asked for: it may be too old", 200)
    return info


def _refusal(problem: str, status: int = 0) -> AuthenticationError:
    return AuthenticationError(f"{_NAME} managed identity: {problem}", ProviderError(status_code=status))
