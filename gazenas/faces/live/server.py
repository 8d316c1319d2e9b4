"""A web server for one person on this machine: loopback alone, a random token in every address.

Another web site that the person has open cannot use it: an address without the token, a foreign ``Host`` (a name that
was made to point here) and a foreign ``Origin`` are refused before anything is read.
"""

from __future__ import annotations

import hmac
import json
import logging
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from gazenas.errors import InputError

LOOPBACK = "127.0.0.1"
MOST_BYTES = 16 << 20  # of what is posted
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "media-src 'self' blob:; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",  # the address is the key
    "X-Content-Type-Options": "nosniff",
}
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What the page posted.

    Attributes:
        tab: by which a page that is open is told from another one.
        query: values of the address.
        body: bytes.
    """

    tab: str
    query: Mapping[str, str]
    body: bytes

    def values(self) -> dict[str, Any]:
        """The body as a JSON object.

        Raises:
            InputError: where it is none.
        """
        try:
            found = json.loads(self.body)
        except ValueError as error:
            raise InputError(f"expected a JSON object: {error}") from error
        if not isinstance(found, dict):
            raise InputError(f"expected a JSON object, found {type(found).__name__}")
        return found


class RefusedError(Exception):
    """Something is not done, with the status that says why."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


Action = Callable[[Request], Mapping[str, Any]]
File = tuple[str, bytes]  # type and contents


class LocalServer(ThreadingHTTPServer):
    """Serves files and actions under a token.

    Attributes:
        url: the address to open, the token in it.

    Args:
        files: by name, "" for the page itself.
        actions: by name; an ``InputError`` of one is told to the page.
        port: 0 for a free one.

    Raises:
        InputError: where the port is not free.
    """

    daemon_threads = True
    allow_reuse_address = os.name == "posix"  # elsewhere another process could take part of what comes

    def __init__(self, files: Mapping[str, File], actions: Mapping[str, Action], port: int = 0) -> None:
        self.files, self.actions = files, actions
        self.token = secrets.token_urlsafe(18)
        try:
            super().__init__((LOOPBACK, port), _Handler)
        except (OSError, OverflowError) as error:
            raise InputError(f"--port: expected a free one, found {port}: {error}") from error
        self.names = {f"{name}:{self.server_port}" for name in (LOOPBACK, "localhost")}
        self.url = f"http://{LOOPBACK}:{self.server_port}/{self.token}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A page that was closed meanwhile is no fault; others are logged."""
        _log.debug("a connection ended", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: LocalServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "gazenas", ""
    timeout = 60
    wbufsize = -1  # headers and body in one packet, or the other side waits to acknowledge the first
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """A file of the page."""
        self._answered(self._file)

    def do_POST(self) -> None:
        """An action."""
        self._answered(self._act)

    def log_message(self, format: str, *words: Any) -> None:
        """Requests are not worth a line; the address, which is the key, is never written."""

    def _answered(self, find: Callable[[str], File]) -> None:
        status, data, kind = HTTPStatus.OK, b"", "application/json"
        unread = not self._has_length() or self.headers.get("Content-Length", "0") != "0"
        try:
            self._check_origin()
            kind, data = find(self._name())
            unread = False
        except RefusedError as refused:
            status, said = refused.status, str(refused)
        except InputError as error:
            status, unread, said = HTTPStatus.UNPROCESSABLE_ENTITY, False, str(error)
        except OSError as error:
            status, said = HTTPStatus.INSUFFICIENT_STORAGE, f"{error.filename or 'writing'}: {error.strerror or error}"
        except Exception:
            _log.exception("a fault of the program")
            status, said = HTTPStatus.INTERNAL_SERVER_ERROR, "a fault of the program; the terminal says which"
        if status != HTTPStatus.OK:
            kind, data = _json({"error": said})
        self.close_connection = self.close_connection or unread  # its body would be taken for the next request
        self.send_response(status)
        for header, value in {**HEADERS, "Content-Type": kind, "Content-Length": str(len(data))}.items():
            self.send_header(header, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)

    def _has_length(self) -> bool:
        length = self.headers.get("Content-Length", "0")
        return length.isascii() and length.isdecimal() and "Transfer-Encoding" not in self.headers

    def _check_origin(self) -> None:
        """Whether it comes from the page itself."""
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        site = self.headers.get("Sec-Fetch-Site", "none")
        if host not in self.server.names:
            raise RefusedError(HTTPStatus.MISDIRECTED_REQUEST, f"expected {self.server.url}, found the host {host!r}")
        if (origin is not None and urlsplit(origin).netloc != host) or site not in ("same-origin", "none"):
            raise RefusedError(HTTPStatus.FORBIDDEN, f"expected a page of this server, found one of {origin or site}")

    def _name(self) -> str:
        """What is asked for, behind the token."""
        _, _, rest = urlsplit(self.path).path.partition("/")
        token, slash, name = rest.partition("/")
        if not slash or not hmac.compare_digest(token.encode(), self.server.token.encode()):
            raise RefusedError(
                HTTPStatus.FORBIDDEN,
                "expected the address that 'gazenas collect' printed when it began; each time it is another one",
            )
        return name

    def _file(self, name: str) -> File:
        if name not in self.server.files:
            raise RefusedError(HTTPStatus.NOT_FOUND, "expected the page, or a file of it")
        return self.server.files[name]

    def _act(self, name: str) -> File:
        if name not in self.server.actions:
            raise RefusedError(HTTPStatus.NOT_FOUND, f"expected one of {', '.join(self.server.actions)}")
        if not self._has_length() or "Content-Length" not in self.headers:
            self.close_connection = True
            raise RefusedError(HTTPStatus.LENGTH_REQUIRED, "expected a body whose length is said")
        length = int(self.headers["Content-Length"])
        if length > MOST_BYTES:
            said = f"expected at most {MOST_BYTES} bytes, found {length}"
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, said)
        body = self.rfile.read(length)
        if len(body) < length:
            self.close_connection = True
            raise InputError(f"expected {length} bytes, found {len(body)}")
        query = {key: values[-1] for key, values in parse_qs(urlsplit(self.path).query).items()}
        return _json(self.server.actions[name](Request(self.headers.get("X-Tab", ""), query, body)))


def _json(values: Mapping[str, Any]) -> File:
    return "application/json", json.dumps(values).encode()
