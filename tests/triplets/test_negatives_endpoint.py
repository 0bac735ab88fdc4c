"""The endpoint as a client meets it: what is tried again, what ends the run, and that the key is seen by nobody."""

import email.utils
import socket
import time

import pytest
from chat_endpoint import CAPTION, NEGATIVES, Chat, Raw, answer, completion, serving

from synvita.core.records import Misalignment
from synvita.triplets.negatives.endpoint import Endpoint, api_key, completions, retry_after
from synvita.triplets.negatives.language_model import Busy, Refused
from synvita.triplets.negatives.prompts import prompt
from synvita.triplets.negatives.rules import Unusable

KEY = "sk-very-secret-0123456789"
ASK = prompt(Misalignment.OBJECT, CAPTION)


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("SYNVITA_API_KEY", KEY)


def ask(raw, **options):
    """What the client makes of one raw answer."""
    with serving(Chat(lambda asked: raw)) as url:
        return Endpoint(url, "m", **options).answer(ASK)


def test_a_request_has_the_model_the_prompt_the_key_and_what_was_asked_for():
    chat = Chat()
    with serving(chat) as url:
        assert Endpoint(url, "m", {"max_tokens": None, "seed": 3}).answer(ASK) == answer(NEGATIVES["object"])
    (asked,) = chat.asked
    message = {"role": "user", "content": ASK}
    assert asked.body == {"model": "m", "messages": [message], "temperature": 0, "seed": 3}
    assert asked.headers["authorization"] == f"Bearer {KEY}" and asked.headers["path"] == "/v1/chat/completions"


def test_the_key_is_ours_before_openais_and_none_sends_no_header(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-other")
    assert api_key() == KEY
    monkeypatch.setenv("SYNVITA_API_KEY", " ")
    assert api_key() == "sk-other"
    monkeypatch.delenv("OPENAI_API_KEY")
    chat = Chat()
    with serving(chat) as url:
        Endpoint(url, "m").answer(ASK)
    assert "authorization" not in chat.asked[0].headers
    monkeypatch.setenv("SYNVITA_API_KEY", "sk-secret\nX: y")
    with pytest.raises(ValueError, match=r"^SYNVITA_API_KEY: holds blanks") as caught:
        Endpoint(url, "m").setup()
    assert "sk-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("raw", "kind", "reason"),
    [
        (Raw(429, headers={"Retry-After": "3"}), Busy, "HTTP 429"),
        (Raw(503, "<html>down</html>", {"Content-Type": "text/html"}), Busy, "HTTP 503$"),
        (Raw(500, '{"error": {"message": "boom"}}'), Busy, r"HTTP 500 \(boom\)"),
        (Raw(429, headers={"Retry-After": "9999"}), Refused, "asks to wait 9999 s"),
        (Raw(200, completion("x" * 999), cut=500), Busy, "broke off"),
        (Raw(200, completion("x")[:-9]), Busy, "no chat completion"),
        (Raw(200, '{"error": "overloaded"}'), Busy, "no chat completion"),
        (Raw(200, completion("x", "length")), Unusable, "cut off"),
        (Raw(200, completion("", "content_filter")), Unusable, "a refusal"),
        (Raw(200, completion(None, refusal="I will not")), Unusable, "a refusal"),
        (Raw(400, '{"error": {"message": "max_tokens is unknown"}}'), Refused, r"HTTP 400 \(max_tokens is unknown\)"),
        (Raw(200, "<!doctype html><p>Log in", {"Content-Type": "text/html"}), ValueError, "answers HTML, not JSON"),
        (Raw(200, " <html>"), ValueError, "answers HTML, not JSON"),
        (Raw(401, '{"error": "wrong"}'), ValueError, r"HTTP 401 \(wrong\); the key comes from SYNVITA_API_KEY"),
        (Raw(404), ValueError, r"HTTP 404; check the address"),
        (Raw(302, headers={"Location": "http://127.0.0.1:1/v1"}), ValueError, "a redirect is not followed"),
        (Raw(200, completion("x"), delay=0.4), Busy, "no answer within 0.2 s"),
    ],
)
def test_each_failure_is_told_apart(raw, kind, reason):
    with pytest.raises(kind, match=reason) as caught:
        ask(raw, timeout=0.2 if raw.delay else 5)
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    if kind is ValueError:
        assert str(caught.value).startswith("--endpoint: http://127.0.0.1:")
    if "Retry-After" in raw.headers and kind is Busy:
        assert caught.value.wait == 3.0


def test_an_endpoint_that_is_not_there_is_named_at_once():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1?api-version=1"
    with pytest.raises(
        ValueError, match=r"^--endpoint: http://127.0.0.1:\d+/v1/chat/completions cannot be reached \("
    ) as e:
        Endpoint(url, "m").answer(ASK)
    assert "api-version" not in str(e.value)
    lost = Endpoint(url, "m")
    lost.reached = True  # it has answered before: perhaps it comes back
    with pytest.raises(Busy, match="not reachable"):
        lost.answer(ASK)


@pytest.mark.parametrize("status", [200, 400, 401, 404, 429, 500, 302])
@pytest.mark.parametrize("shape", ["error", "text", "long", "choice", "key"])
def test_an_endpoint_that_echoes_the_key_gets_it_into_no_error(status, shape):
    bodies = {
        "error": '{"error": {"message": "bad key KEY"}}',
        "text": "bad key KEY",
        "long": "x" * 190 + "KEY",  # half of it would be left, were it cut first
        "choice": completion("a KEY runs"),
        "key": '{"KEY": 1}',
    }
    with pytest.raises((ValueError, Busy, Refused)) as caught:
        ask(Raw(status, bodies[shape].replace("KEY", KEY), {"Location": f"http://127.0.0.1/{KEY}"}))
    for part in (KEY, KEY[:9]):
        assert part not in f"{caught.value!r}{caught.value.__cause__!r}"


def test_a_wait_of_one_request_is_a_wait_of_all():
    chat = Chat()
    with serving(chat) as url:
        model = Endpoint(url, "m")
        start = time.monotonic()
        model.rest(0.3)
        model.rest(0.1)  # does not shorten it
        model.answer(ASK)
    assert chat.asked[0].at - start >= 0.3


def test_retry_after_is_a_number_or_a_date():
    assert (
        retry_after(" 2 ") == 2 and retry_after("1.5") == 1.5 and retry_after("") is None and retry_after("x") is None
    )
    assert 8 < retry_after(email.utils.formatdate(time.time() + 10, usegmt=True)) <= 10
    assert retry_after(email.utils.formatdate(time.time() - 10, usegmt=True)) == 0


def test_an_address_is_the_base_or_the_whole_one_and_holds_no_password():
    want = "http://h:8000/v1/chat/completions"
    for url in ("http://h:8000/v1", "http://h:8000/v1/", want, want + "#x"):
        assert completions(url) == want
    assert completions("https://h/openai?api-version=1") == "https://h/openai/chat/completions?api-version=1"
    for url in ("h:8000", "ftp://h", "http://", "http://h:x", "http://h/ v1", "http://[", "file:///etc/passwd"):
        with pytest.raises(ValueError, match=r"^--endpoint: not an address like"):
            completions(url)
    with pytest.raises(ValueError, match="holds a name or password") as caught:
        completions(f"http://me:{KEY}@h/v1")
    assert KEY not in str(caught.value)
