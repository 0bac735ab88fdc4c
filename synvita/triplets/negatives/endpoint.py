"""A chat endpoint in OpenAI's format: vLLM, llama.cpp, Ollama, any provider that offers it.

The API key comes from the environment, is sent in one header and is kept nowhere: no record, stamp, log or message has
it, and what the endpoint answers is searched for it before anybody else sees the text.
"""

from __future__ import annotations

import email.utils
import json
import os
import re
import time
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from synvita.core.settings import merge
from synvita.triplets.negatives.language_model import Busy, Refused
from synvita.triplets.negatives.rules import Unusable

KEYS = ("SYNVITA_API_KEY", "OPENAI_API_KEY")  # the first that is set
SECRET = 8  # letters from which on a key is one; shorter ones are placeholders such as EMPTY
MOST_BYTES = 1 << 20
SHOWN = 200  # letters of an error's text; cut behind the search for the key, which would leave half of it
LONGEST_WAIT = 120.0  # seconds that an endpoint may ask us to wait
REQUEST = {"temperature": 0, "max_tokens": 512}
TRANSIENT = (408, 409, 425, 429)


def api_key() -> str:
    """ "" where none is set. ValueError: a key that no header can hold; its value is not shown."""
    name = next((name for name in KEYS if os.environ.get(name, "").strip()), None)
    if name is None:
        return ""
    key = os.environ[name].strip()
    if not re.fullmatch(r"[!-~]+", key):
        raise ValueError(f"{name}: holds blanks or letters that a header cannot have; set it anew")
    return key


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would send the key, and a POST as a GET, to somebody else."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Endpoint:
    """`url`: the base (`http://host:8000/v1`) or the whole address of the chat completions.

    request: fields of the request beside model and messages; null leaves one out. timeout: seconds per request.
    """

    pause = 1.0

    def __init__(
        self,
        url: str,
        model: str,
        request: dict[str, Any] | None = None,
        at_once: int = 4,
        timeout: float = 60.0,
    ):
        self.url, self.model, self.at_once, self.timeout = completions(url), model, at_once, timeout
        given = merge(REQUEST, request or {})
        self.request = {name: value for name, value in given.items() if value is not None}
        self.shown = urlunsplit(urlsplit(self.url)._replace(query=""))
        self.reached = False
        self.quiet_until = 0.0

    def describe(self) -> dict[str, Any]:
        return {"model": self.model, "request": self.request}

    def setup(self) -> None:
        api_key()

    def rest(self, seconds: float) -> None:
        self.quiet_until = max(self.quiet_until, time.monotonic() + seconds)

    def answer(self, prompt: str) -> str:
        time.sleep(max(0.0, self.quiet_until - time.monotonic()))
        key = api_key()
        body = {"model": self.model, "messages": [{"role": "user", "content": prompt}], **self.request}
        text = completion(self.post(json.dumps(body).encode(), key), self.shown)
        if len(key) >= SECRET and key in text:
            raise Unusable("it repeats the API key")
        return text

    def post(self, body: bytes, key: str) -> str:
        """The body of the answer. Raises: as `answer`."""
        headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "synvita"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(self.url, body, headers, method="POST")
        try:
            with urllib.request.build_opener(NoRedirect).open(request, timeout=self.timeout) as response:
                self.reached = True
                return self.read(response)
        except urllib.error.HTTPError as error:
            self.reached = True
            with error:
                raise self.failure(error, key) from None
        except TimeoutError:
            raise Busy(f"no answer within {self.timeout:g} s") from None
        except urllib.error.URLError as error:
            reason = hide(getattr(error.reason, "strerror", None) or str(error.reason), key)
            if self.reached:
                raise Busy(f"not reachable ({reason})") from None
            raise ValueError(f"--endpoint: {self.shown} cannot be reached ({reason}); is it running?") from None
        except (OSError, HTTPException) as error:  # closed in the middle, or no HTTP at all
            raise Busy(f"the answer broke off ({type(error).__name__})") from None

    def read(self, response: Any) -> str:
        """The time is bounded for the whole body, not only for each piece of it.

        Raises:
            TimeoutError; Busy: too long.
        """
        deadline, pieces, size = time.monotonic() + self.timeout, [], 0
        while piece := response.read1(1 << 16):
            pieces.append(piece)
            size += len(piece)
            if time.monotonic() > deadline:
                raise TimeoutError
            if size > MOST_BYTES:
                raise Busy(f"an answer of more than {MOST_BYTES} bytes")
        if response.length:  # of what was announced, not all came
            raise Busy("the answer broke off")
        text = b"".join(pieces).decode("utf-8", "replace")
        if "html" in response.headers.get("Content-Type", "").lower() or text.lstrip().startswith("<"):
            raise ValueError(f"--endpoint: {self.shown} answers HTML, not JSON; give the API's address, often .../v1")
        return text

    def failure(self, error: urllib.error.HTTPError, key: str) -> Exception:
        """What a status other than 200 means."""
        try:
            body = error.read(1 << 14).decode("utf-8", "replace")
        except (OSError, HTTPException):
            body = ""
        told = hide(message(body), key)[:SHOWN]
        text = f"HTTP {error.code}{f' ({told})' if told else ''}"
        if error.code in TRANSIENT or error.code >= 500:
            wait = retry_after(error.headers.get("Retry-After", ""))
            if wait is not None and wait > LONGEST_WAIT:
                return Refused(f"{text}: asks to wait {wait:.0f} s, more than {LONGEST_WAIT:.0f}")
            return Busy(text, wait)
        if error.code in (401, 402, 403):
            return ValueError(f"--endpoint: {self.shown}: {text}; the key comes from {' or '.join(KEYS)}")
        if 300 <= error.code < 400:
            return ValueError(f"--endpoint: {self.shown}: {text}: a redirect is not followed; give the final address")
        if error.code in (404, 405):
            return ValueError(f"--endpoint: {self.shown}: {text}; check the address (often .../v1) and --model")
        return Refused(text)


def completions(url: str) -> str:
    """The address to post to. ValueError: no http address, or one with a password."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or not url.isascii() or any(letter.isspace() for letter in url):
        raise ValueError("--endpoint: not an address like http://127.0.0.1:8000/v1")
    if parts.username is not None or parts.password is not None:
        raise ValueError(f"--endpoint: holds a name or password; leave it out, the key comes from {' or '.join(KEYS)}")
    path = parts.path.rstrip("/")
    path = path if path.endswith("/chat/completions") else f"{path}/chat/completions"
    return urlunsplit(parts._replace(path=path, fragment=""))


def completion(body: str, shown: str) -> str:
    """The text of a chat completion. Raises: Unusable: cut off, a refusal; Busy: no chat completion."""
    try:
        fields = json.loads(body)
        choice = fields["choices"][0]
        text, reason = choice["message"].get("content") or "", choice.get("finish_reason")
        refusal = choice["message"].get("refusal")
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        raise Busy("what came is no chat completion") from None
    if reason == "length":
        raise Unusable("it was cut off at the longest answer allowed; be brief")
    if refusal or reason == "content_filter" or not isinstance(text, str):
        raise Unusable("a refusal")
    return text


def message(body: str) -> str:
    """What an error's body says, on one line; nothing of HTML."""
    try:
        fields = json.loads(body)
        told = fields["error"]["message"] if isinstance(fields["error"], dict) else fields["error"]
    except (ValueError, RecursionError, LookupError, TypeError):
        told = "" if body.lstrip()[:1] == "<" else body
    return " ".join(str(told).split())


def hide(text: str, key: str) -> str:
    return text.replace(key, "[key]") if key else text


def retry_after(text: str) -> float | None:
    """Seconds, from a number or a date."""
    if re.fullmatch(r"\d{1,9}(\.\d{1,6})?", text.strip()):
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
