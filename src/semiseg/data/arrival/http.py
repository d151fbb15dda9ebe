"""HTTP for downloads: which failures are tried again, after which wait, and one sentence for each that remains."""

import contextlib
import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.exceptions import InvalidHeader, MaxRetryError, ProxyError, SSLError
from urllib3.util import Retry

from semiseg.base.errors import UserError

logger = logging.getLogger(__name__)

Result = TypeVar("Result")
RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})  # statuses of a server that may answer later
HEADERS = {"Accept-Encoding": "identity", "User-Agent": "semiseg (python-requests)"}  # bytes as they lie on the server


@dataclass(frozen=True)
class Patience:
    """Limits of repeated requests to a server.

    attempts: requests in a row that may fail without one byte gained. Waits double from first_wait_s to longest_wait_s.
    most_wait_s: the longest wait that a server may request. connect_s, read_s: limits for one answer. Times in seconds.
    """

    attempts: int = 8
    first_wait_s: float = 1.0
    longest_wait_s: float = 60.0
    most_wait_s: float = 900.0
    connect_s: float = 20.0
    read_s: float = 120.0
    sleep: Callable[[float], None] = time.sleep


class Retries(Retry):
    """urllib3's rules for failures that pass, with the waits of ``patience``, each announced in one line.

    Unlike urllib3's own, a fault of a proxy or a certificate is final, a malformed Retry-After counts as none, and a
    Retry-After beyond ``patience.most_wait_s`` raises UserError.
    """

    def __init__(self, patience: Patience, **state: Any) -> None:
        self.patience = patience
        rules = {"total": patience.attempts - 1, "status_forcelist": RETRIED, "raise_on_status": False}
        super().__init__(**{**rules, **state})

    def new(self, **changes: Any) -> "Retries":
        """The state after one more failure."""
        return super().new(patience=self.patience, **changes)

    def increment(self, method: Any = None, url: Any = None, *args: Any, **failure: Any) -> "Retries":
        """Count a failure. Raises MaxRetryError where none of this kind may follow."""
        error, pool = failure.get("error"), failure.get("_pool")
        if isinstance(error, ProxyError | SSLError):
            assert pool is not None  # only connections have such faults
            raise MaxRetryError(pool, url, error)
        if pool is not None:
            url = f"{pool.scheme}://{pool.host}:{pool.port}{url}"
        return super().increment(method, url, *args, **failure)

    def get_backoff_time(self) -> float:
        """Seconds before the next request; urllib3's own would not wait before the second."""
        return min(self.patience.first_wait_s * 2.0 ** (len(self.history) - 1), self.patience.longest_wait_s)

    def get_retry_after(self, response: Any) -> float | None:
        """Seconds to wait by the server's Retry-After header; None where it has none or an invalid one."""
        try:
            return super().get_retry_after(response)
        except InvalidHeader:
            return None

    def sleep(self, response: Any = None) -> None:
        """Wait as long as the server requests, else by the backoff time of ``patience``."""
        retry_after = None if response is None else self.get_retry_after(response)
        wait, last = self.get_backoff_time() if retry_after is None else retry_after, self.history[-1]
        failure = f"{last.url} answers {_status(last.status, response.reason)}" if last.status else str(last.error)
        if wait > self.patience.most_wait_s:
            raise UserError(f"{failure}, and the server asks to wait {wait:.0f} s: run again after that time")
        logger.info(f"{failure}; attempt {len(self.history) + 1} of {self.patience.attempts} in {wait:.0f} s")
        self.patience.sleep(wait)


class BodyError(Exception):
    """The body of an answer was cut, or is not what was published: another request may give it."""


OpenSession = Callable[[Patience], requests.Session]


def open_session(patience: Patience) -> requests.Session:
    """A session that repeats requests by the rules of ``Retries``."""
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=Retries(patience)))
    return session


@contextlib.contextmanager
def request(
    session: requests.Session, url: str, patience: Patience, headers: dict[str, str]
) -> Iterator[requests.Response]:
    """The answer of a server (200, 206 or 416), its body still unread.

    Raises UserError when no request got such an answer, and BodyError when the body breaks off while it is read.
    """
    limits = (patience.connect_s, patience.read_s)
    with _request_faults(url, patience):
        answer = session.get(url, headers={**HEADERS, **headers}, stream=True, timeout=limits)
    with answer, _body_faults(url):
        status = _status(answer.status_code, answer.reason)
        if answer.status_code in RETRIED:
            raise UserError(f"{url} answers {status}, {_given_up(patience)}")
        if answer.status_code not in (200, 206, 416):
            raise UserError(
                f"{url} answers {status}: open the address in a browser; if the file has moved, fetch it there and run "
                "`semiseg import DATASET FILE`"
            )
        yield answer


def repeat(action: Callable[[], Result], patience: Patience, gained: Callable[[], int] = lambda: 0) -> Result:
    """Result of ``action``, which is repeated after a BodyError, by the same rules and waits as requests are.

    gained: bytes that are here. More of them than ever before renew the patience, so that a transfer of many cuts ends.
    Raises UserError after the last attempt.
    """
    retries, most = Retries(patience), gained()
    while True:
        try:
            return action()
        except BodyError as error:
            if gained() > most:
                retries, most = Retries(patience), gained()
            try:
                retries = retries.increment("GET", error=error)
            except MaxRetryError:
                raise UserError(f"{error}, {_given_up(patience)}") from None
            retries.sleep()


def fetch_json(session: requests.Session, url: str, patience: Patience) -> Any:
    """The JSON that a server answers. Raises UserError for anything else."""

    def body() -> bytes:
        with request(session, url, patience, {}) as answer:
            return answer.content

    try:
        return json.loads(repeat(body, patience))
    except ValueError as error:
        raise UserError(f"{url} answers no JSON ({error}): open the address in a browser") from None


def mirrored(url: str, base: str) -> str:
    """The address of a file at a mirror: ``https://host/path?query`` becomes ``<base>/host/path?query``."""
    return f"{base.rstrip('/')}/{url.split('://', 1)[-1]}"


@contextlib.contextmanager
def _request_faults(url: str, patience: Patience) -> Iterator[None]:
    """Turn what the libraries raise over a request into one sentence."""
    try:
        yield
    except requests.exceptions.ProxyError as error:
        raise UserError(
            f"{url} cannot be reached through the proxy ({_cause(error)}): correct or unset HTTP_PROXY and HTTPS_PROXY"
        ) from None
    except requests.exceptions.SSLError as error:
        raise UserError(
            f"{url} has no certificate that is trusted here ({_cause(error)}): check the clock, or give your network's "
            "certificates by REQUESTS_CA_BUNDLE"
        ) from None
    except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, requests.exceptions.MissingSchema):
        raise UserError(f"{url} is no address of a file: correct it, or the mirror in params.yaml") from None
    except requests.exceptions.TooManyRedirects:
        raise UserError(f"{url} leads in circles: open the address in a browser") from None
    except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
        raise UserError(f"{_failure(url, error)}, {_given_up(patience)}") from None


@contextlib.contextmanager
def _body_faults(url: str) -> Iterator[None]:
    """Turn what the libraries raise over a body that breaks off into BodyError."""
    try:
        yield
    except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
        raise BodyError(_failure(url, error)) from None


def _failure(url: str, error: Exception) -> str:
    return f"{url}: the connection failed ({_cause(error)})"


def _given_up(patience: Patience) -> str:
    return f"given up after {patience.attempts} attempts: check the connection and run again"


def _status(code: int, reason: str | None) -> str:
    return f"{code} {reason or ''}".strip()


def _cause(error: BaseException) -> str:
    """The innermost reason in words, without the libraries' object names."""
    while True:
        inner = getattr(error, "reason", None) or next((arg for arg in error.args if isinstance(arg, Exception)), None)
        if not isinstance(inner, Exception):
            break
        error = inner
    text = str(getattr(error, "strerror", None) or error)
    return text.split(">: ", 1)[-1].replace("\n", " ")[:200]
