"""The command `synvita`: one subcommand per stage; every stage takes `--run DIR` and goes on where it was."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

from synvita.core.allocator import keep_freed_memory


def one_line(error: BaseException) -> str:
    """Its text and its notes."""
    text = " ".join(str(error).split()) or type(error).__name__
    return " ".join([text, *getattr(error, "__notes__", ())])


def main(argv: list[str] | None = None) -> int:
    """Exit status: 0 done; 1 failed; 2 wrong input; 3 done, but something was set aside; 130 interrupted."""
    if argv is None:
        speak_utf8()
        keep_freed_memory()
    streams()
    try:
        given = sys.argv[1:] if argv is None else argv
        not_text = [text for text in given if any("\ud800" <= letter <= "\udfff" for letter in text)]
        if not_text:
            raise ValueError(f"{not_text[0]!a}: an argument that is not UTF-8; write it anew, or rename the file")
        from synvita.cli.parser import parser

        arguments, flags = parser().parse_known_args(given)
        status = int(arguments.call(arguments, flags))
        sys.stdout.flush()
        return status
    except (ValueError, FloatingPointError) as error:
        sys.stderr.write(f"synvita: {one_line(error)}\n")
        return 2
    except FileNotFoundError as error:
        sys.stderr.write(f"synvita: {error.filename or one_line(error)}: no such file; check the path\n")
        return 2
    except MemoryError as error:
        text = (
            one_line(error) if str(error) else "out of memory; close other programs, or take a smaller model or batch"
        )
        sys.stderr.write(f"synvita: {text}\n")
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else the interpreter complains once more at its end
        sys.stderr.write("synvita: whoever read the output closed it; it is not complete\n")
        return 1
    except OSError as error:
        name = f" ({error.filename})" if error.filename else ""
        reason = error.strerror or one_line(error)
        sys.stderr.write(f"synvita: {reason}{name}; no half file was kept, mend it and run again\n")
        return 1
    except KeyboardInterrupt:
        if "SYNVITA_PARENT" not in os.environ:  # else the parent says so
            sys.stderr.write("synvita: interrupted; run the same command again to go on\n")
        return 130


def speak_utf8() -> None:
    """Start anew in UTF-8 mode where the locale is plain ASCII (LC_ALL=C with PYTHONUTF8=0): captions are UTF-8."""
    if sys.getfilesystemencoding().lower() in ("ascii", "ansi_x3.4-1968", "us-ascii"):
        environment = {**os.environ, "PYTHONUTF8": "1"}
        os.execve(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]], environment)


def streams() -> None:
    """Output that is closed goes nowhere; letters that a terminal does not have are shown by number; plain warnings."""
    warnings.formatwarning = lambda message, *_, **__: f"note: {message}\n"  # not the line of code that warned
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - as long as the process
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
