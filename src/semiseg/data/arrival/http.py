"""Asking a server patiently: which failures pass, how long to wait, and what to tell when patience ends."""

import contextlib
import email.utils
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import requests
import urllib3

from semiseg.base.errors import UserError

logger = logging.getLogger(__name__)

Result = TypeVar("Result")
PASSING = {408, 425, 429, 500, 502, 503, 504}
HEADERS = {"Accept-Encoding": "identity", "User-Agent": "semiseg (python-requests)"}  # bytes as they lie on the server


@dataclass(frozen=True)
class Patience:
    """attempts: in a row without one byte gained. Waits double from first_wait_s; times in seconds.

    most_wait_s: the longest wait that a server may ask for.
    """

    attempts: int = 8
    first_wait_s: float = 1.0
    longest_wait_s: float = 60.0
    most_wait_s: float = 900.0
    connect_s: float = 20.0
    read_s: float = 120.0
    sleep: Callable[[float], None] = time.sleep


class PassingError(Exception):
    """A failure that may be gone at the next attempt; wait_s: the wait that the server asks for."""

    def __init__(self, text: str, wait_s: float | None = None) -> None:
        super().__init__(text)
        self.wait_s = wait_s


def patiently(
    action: Callable[[], Result], what: str, patience: Patience, gained: Callable[[], int] = lambda: 0
) -> Result:
    """Result of ``action``, tried again after passing failures; ``gained`` bytes beyond the most so far renew patience.

    Raises UserError naming ``what``, the last failure and the attempts.
    """
    failures, most = 0, gained()
    while True:
        try:
            return action()
        except PassingError as error:
            now = gained()
            failures, most = (1, now) if now > most else (failures + 1, most)
            if failures >= patience.attempts:
                kept = "; what has arrived is kept" if now else ""
                raise UserError(
                    f"{what}: {error}, given up after {failures} attempts: check the connection and run again{kept}"
                ) from None
            wait = min(patience.first_wait_s * 2 ** (failures - 1), patience.longest_wait_s)
            if error.wait_s is not None:
                wait = error.wait_s
            if wait > patience.most_wait_s:
                raise UserError(
                    f"{what}: {error}, and the server asks to wait {wait:.0f} s: run again after that time"
                ) from None
            logger.info(f"{what}: {error}; attempt {failures + 1} of {patience.attempts} in {wait:.0f} s")
            patience.sleep(wait)


@contextlib.contextmanager
def asked(
    session: requests.Session, url: str, patience: Patience, headers: dict[str, str]
) -> Iterator[requests.Response]:
    """The answer of a server (200, 206 or 416), still unread; while it is read, failures are told as well.

    Raises PassingError and UserError.
    """
    times = (patience.connect_s, patience.read_s)
    with (
        _connection_faults(url),
        session.get(url, headers={**HEADERS, **headers}, stream=True, timeout=times) as answer,
    ):
        if answer.status_code in PASSING:
            raise PassingError(f"{url} answers {_status(answer)}", _wait_s(answer.headers.get("Retry-After")))
        if answer.status_code not in (200, 206, 416):
            raise UserError(
                f"{url} answers {_status(answer)}: open the address in a browser; if the file has moved, fetch it "
                "there and run `semiseg import DATASET FILE`"
            )
        yield answer


def ask_json(session: requests.Session, url: str, patience: Patience) -> Any:
    """What a server answers as JSON; UserError for anything else."""

    def action() -> Any:
        with asked(session, url, patience, {}) as answer:
            try:
                return answer.json()
            except requests.exceptions.JSONDecodeError as error:
                raise UserError(f"{url} answers no JSON ({error}): open the address in a browser") from None

    return patiently(action, "the list of files", patience)


@contextlib.contextmanager
def _connection_faults(url: str) -> Iterator[None]:
    """Turn what the libraries raise over a connection into one sentence, passing or not."""
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
    except (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError):
        raise PassingError(f"{url} does not answer in time") from None
    except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
        raise PassingError(f"{url}: the connection failed ({_cause(error)})") from None


def _status(answer: requests.Response) -> str:
    return f"{answer.status_code} {answer.reason or ''}".strip()


def _wait_s(given: str | None) -> float | None:
    """Seconds of a Retry-After header: a number, or a date."""
    if given is None:
        return None
    if given.strip().isdigit():
        return float(given)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(given).timestamp() - time.time())
    except ValueError:
        return None


def _cause(error: BaseException) -> str:
    """The innermost reason in words, without the libraries' object names."""
    while True:
        inner = getattr(error, "reason", None) or next((arg for arg in error.args if isinstance(arg, Exception)), None)
        if not isinstance(inner, Exception):
            break
        error = inner
    text = str(getattr(error, "strerror", None) or error)
    return text.split(">: ", 1)[-1].replace("\n", " ")[:200]
