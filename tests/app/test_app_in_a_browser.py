"""The page of `synvita app` in a real browser: a clip goes up, captions come back scored and coloured."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from chromium import DESKTOP, PHONE, chromium

ROOT = Path(__file__).parents[2]
VIDEO = ROOT / "examples" / "videos" / "7.mp4"


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    pytest.importorskip("gradio", reason="gradio is not installed: pip install '.[app]'")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("app") / "log"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    with log.open("w") as out:
        command = [sys.executable, "-m", "synvita.cli", "app", "--port", str(port)]
        served = subprocess.Popen(command, stdout=out, stderr=out, env=environment)
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
                break
            except OSError:
                assert served.poll() is None and time.monotonic() < deadline, log.read_text()
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/"
        served.send_signal(signal.SIGINT)
        served.wait(30)
    finally:
        served.kill()


@pytest.mark.slow  # 30 s, most of it gradio's start
def test_a_clip_and_two_captions_give_a_sorted_and_coloured_table(address):
    with chromium() as program:
        for size in (DESKTOP, PHONE):
            page = program.new_page(viewport=size)
            page.set_default_timeout(60_000)
            elsewhere = []
            page.on("request", lambda r, kept=elsewhere: kept.append(r.url) if address not in r.url else None)
            page.goto(address)
            page.locator("input[type=file]").first.set_input_files(VIDEO)
            page.locator("video").first.wait_for()
            page.get_by_label("Captions, one a line").fill(
                "a large red circle moving up\na large red triangle moving up"
            )
            page.get_by_role("button", name="Score").click()
            page.locator(".synvita tr").first.wait_for()
            rows = page.locator(".synvita tr").all_inner_texts()
            assert len(rows) == 2 and "triangle" in rows[0] and "circle" in rows[1]
            assert page.locator(".synvita span[title]").count() == 12
            assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
            if os.environ.get("SYNVITA_ARTEFACTS"):
                page.screenshot(path=Path(os.environ["SYNVITA_ARTEFACTS"]) / f"app-{size['width']}.png", full_page=True)
            assert elsewhere == []
            page.close()
