"""The explorer's life: what it needs is made, a server started, the page served and opened."""

import socket
import subprocess
import sys
import threading
import time
import webbrowser
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

import urllib3
import uvicorn

from tfrs_timirec.errors import UserError, cleaning
from tfrs_timirec.explorer.kept import DATA, INPUT_ELEMENTS, MODEL, MODELS, kept
from tfrs_timirec.explorer.site import HOST, model_url, site
from tfrs_timirec.export.settings import ExportSettings
from tfrs_timirec.training.run import model_in

# Between two looks whether the server answers.
LOOK_SECONDS = 0.1
DRAIN_SECONDS = 1
# Before it is started again; Ctrl-C ends the server and, a moment later, this process.
PAUSE_SECONDS = 1


def explore(
    model: Path, settings: ExportSettings, server: str | None, port: int, browser: bool
) -> None:
    """Serves the page until SIGTERM or Ctrl-C.

    Args:
        model: A run folder, or that of a saved recommender.
        settings: The file of titles and its columns.
        server: The URL of a server of TF-Serving's REST; None starts one.
        port: Of the page; 0 takes a free one.
        browser: Whether to open it.

    Raises:
        UserError: If the model or the port cannot be used.
    """
    if server:
        model_url(server, MODEL)
    with _listening(port) as listening:
        folder = kept(model_in(model).resolve(), settings, _tell)
        with nullcontext(server) if server else _server(folder / MODELS) as address:
            app = site(folder / DATA, MODEL, model_url(address, MODEL))
            page = f"http://{HOST}:{listening.getsockname()[1]}/"
            print(f"The explorer: {page} (Ctrl-C ends it)", flush=True)
            if browser:
                webbrowser.open(page)
            config = uvicorn.Config(
                app, log_level="warning", access_log=False, timeout_graceful_shutdown=1
            )
            uvicorn.Server(config).run([listening])


@contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    """A socket that listens on the loopback, taken before any work."""
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Else the end of an answer waits for the browser to acknowledge its beginning.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            listening.bind((HOST, port))
            listening.listen()
        except OSError as error:
            raise UserError(
                f"The port {port} of {HOST} cannot be listened on ({error.strerror}): name another "
                "--port."
            ) from None
        yield listening


@contextmanager
def _server(models: Path) -> Iterator[str]:
    """The URL of a server's REST, a process of its own that is started again when it ends.

    It answers by then.
    """
    with _listening(0) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tfrs_timirec.export.server", str(models)]
    command += ["--port=0", f"--rest_port={port}", f"--drain_seconds={DRAIN_SECONDS}"]
    command += [f"--input_elements={INPUT_ELEMENTS}"]
    start = partial(subprocess.Popen, command, stderr=subprocess.PIPE, text=True)
    first = process = start()
    told: deque[str] = deque(maxlen=1)
    ended = threading.Event()

    def keep() -> None:
        nonlocal process
        while True:
            # A full pipe would stop it.
            told.extend(process.stderr)
            process.wait()
            if ended.wait(PAUSE_SECONDS):
                return
            _tell(f"The server of the model ended, and is started again: {' '.join(told).strip()}")
            process = start()
            # `end` may have seen the one before.
            if ended.is_set():
                process.terminate()

    keeping = threading.Thread(target=keep, daemon=True)
    keeping.start()

    def end() -> None:
        ended.set()
        process.terminate()
        keeping.join()

    url = f"http://{HOST}:{port}"
    with cleaning(end):
        while not _answers(model_url(url, MODEL)):
            if first.poll() is not None:
                end()
                raise UserError(f"The server of the model ended: {' '.join(told).strip()}")
            time.sleep(LOOK_SECONDS)
        yield url


def _tell(told: str) -> None:
    print(told, flush=True)


def _answers(url: str) -> bool:
    """Whether a version of the model is ready."""
    try:
        return b'"AVAILABLE"' in urllib3.request("GET", url, retries=False, timeout=5).data
    except urllib3.exceptions.HTTPError:
        return False
