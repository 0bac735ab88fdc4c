"""A chat endpoint on this machine that answers as a script tells it, and remembers what it was asked."""

import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from synvita.core.records import Misalignment
from synvita.triplets.negatives.prompts import CHANGES

CAPTION = "Two men cook soup in a red pot and then eat it"
NEGATIVES = {  # by hand, of that caption
    "object": "Two men cook rice in a red pot and then eat it",
    "action": "Two men spill soup in a red pot and then eat it",
    "attribute": "Two men cook soup in a blue pot and then eat it",
    "count": "Five men cook soup in a red pot and then eat it",
    "relation": "Two men cook soup behind a red pot and then eat it",
    "hallucination": "Two men cook soup in a red pot and then eat it next to a sleeping tiger",
    "flip": "Two men eat it and then cook soup in a red pot",
}


def answer(negative, explanation="that is not what the video shows"):
    return json.dumps({"negative_caption": negative, "explanation": explanation})


@dataclass
class Raw:
    """An answer below the level of a chat: status, headers, body; `delay` seconds before it, `cut` bytes fewer."""

    status: int = 200
    body: str = ""
    headers: dict = field(default_factory=dict)
    delay: float = 0.0
    cut: int = 0


def completion(text, finish="stop", **message):
    return json.dumps({"choices": [{"message": {"content": text, **message}, "finish_reason": finish}]})


@dataclass
class Asked:
    kind: str
    caption: str
    time: int  # the how manieth request of this kind and caption, from 1
    prompt: str
    body: dict
    headers: dict
    at: float


class Chat:
    """`script(asked)` gives the text of an answer, or a `Raw`. `most`: how many requests were open at the same time."""

    def __init__(self, script=lambda asked: answer(NEGATIVES[asked.kind])):
        self.script, self.asked, self.lock, self.open, self.most = script, [], threading.Lock(), 0, 0

    def reply(self, path, headers, body):
        fields = json.loads(body)
        prompt = fields["messages"][-1]["content"]
        kind = next(str(kind) for kind in Misalignment if CHANGES[kind][0] in prompt)
        caption = json.loads(prompt.split("is true:\n")[1].split("\n")[0])
        with self.lock:
            time_ = 1 + sum((one.kind, one.caption) == (kind, caption) for one in self.asked)
            asked = Asked(kind, caption, time_, prompt, fields, headers | {"path": path}, time.monotonic())
            self.asked.append(asked)
        found = self.script(asked)
        return found if isinstance(found, Raw) else Raw(body=completion(found))

    @property
    def kinds(self):
        return sorted(one.kind for one in self.asked)


@contextmanager
def serving(chat):
    """The chat's base address while it is open."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            with chat.lock:
                chat.open += 1
                chat.most = max(chat.most, chat.open)
            try:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                raw = chat.reply(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
                time.sleep(raw.delay)
                payload = raw.body.encode()
                self.send_response(raw.status)
                for name, value in ({"Content-Type": "application/json"} | raw.headers).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload[: len(payload) - raw.cut])
            except OSError:
                pass  # whoever asked has gone
            finally:
                with chat.lock:
                    chat.open -= 1

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
