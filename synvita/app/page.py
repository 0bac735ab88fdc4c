"""The page itself, in gradio: a clip, captions, and what the model says of them."""

from __future__ import annotations

from typing import Any

from synvita.app import shown
from synvita.app.words import explain

ABOUT = """# Does this caption fit this video?
Drop a clip, type a caption on each line. A **score** is between 0 and 1; beside it stand the log-odds of *Yes* against
*No*. A **green** word makes its caption fit better, a **red** one worse: each word is left out once and the score asked
again."""
MOST_CAPTIONS, MOST_WORDS = 20, 60  # what a page answers in seconds


def answer(aligner: Any, video: str | None, text: str) -> str:
    """HTML: the table, or in one line what is wrong."""
    captions = [line.strip() for line in (text or "").splitlines() if line.strip()]
    try:
        if not video:
            raise ValueError("no clip yet: drop one on the left")
        if not captions:
            raise ValueError("no caption yet: type one on each line")
        if len(captions) > MOST_CAPTIONS or max(len(caption.split()) for caption in captions) > MOST_WORDS:
            raise ValueError(f"at most {MOST_CAPTIONS} captions of {MOST_WORDS} words; for more: synvita score --pairs")
        return shown.table(explain(lambda asked: aligner.score(video, asked).log_odds, captions))
    except ValueError as problem:
        return shown.error(str(problem))


def page(aligner: Any, note: str = "") -> Any:
    """A gradio Blocks. `note`: a line above the form. ValueError: gradio is not installed."""
    try:
        import gradio
    except ImportError:
        raise ValueError("app: needs gradio; pip install 'synvita[app]'") from None
    with gradio.Blocks(title="synvita", analytics_enabled=False) as blocks:
        gradio.Markdown(f"{ABOUT}\n\nModel: `{aligner.name}`. {note}")
        with gradio.Row():
            clip = gradio.Video(label="Clip", sources=["upload"], height=320, scale=2)
            with gradio.Column(scale=3):
                captions = gradio.Textbox(label="Captions, one a line", lines=5)
                button = gradio.Button("Score", variant="primary")
        result = gradio.HTML()
        button.click(lambda video, text: answer(aligner, video, text), [clip, captions], result)
    return blocks


def serve(aligner: Any, host: str, port: int, note: str = "") -> None:
    """Until it is interrupted. One request at a time: there is one model. ValueError: the port is taken."""
    blocks = page(aligner, note)
    try:
        blocks.queue(default_concurrency_limit=1).launch(
            server_name=host, server_port=port, share=False, max_file_size="500mb", show_error=True
        )
    except OSError as problem:
        raise ValueError(f"--port: {port}: {' '.join(str(problem).split())}; give another --port") from None
