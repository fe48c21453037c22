"""Processes in which TensorFlow is imported already.

The import takes longer than most of what is tested. A parent of this file's makes it once a test
worker; each process is then a fork of it, which has computed nothing, with a working directory, an
environment and standard streams of its own, and a child of the worker by what the system promises
to subreapers. Where it matters what is imported, tests start Python itself.
"""

import atexit
import ctypes
import functools
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import traceback
from pathlib import Path

ROOT = Path(__file__).parents[1]
# JAX, which TensorFlow imports where it is installed, would ask for more.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# This checkout's package in any working directory, whatever is installed.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
IMPORTS = [
    "duckdb",
    "grpc",
    "matplotlib.pyplot",
    "pandas",
    "scann",
    "tensorflow",
    "tensorflow_serving.apis.prediction_service_pb2_grpc",
    "tfrs_timirec.recommender",
    "tfrs_timirec.export.publish",
]
# Seconds until a process counts as hung, on the slowest machine.
PATIENCE = 900
_PR_SET_CHILD_SUBREAPER = 36
_lock = threading.Lock()


class Popen(subprocess.Popen):
    """`subprocess.Popen` of Python's `-m module` or a script; Ctrl-C works in it.

    Args:
        command: What follows `python`.
        cwd: The working directory.
        env: The environment.
        fresh: Whether nothing is to be imported already.
        **kwargs: Of `subprocess.Popen`: the streams.
    """

    def __init__(
        self,
        command: list,
        cwd: Path = ROOT,
        env: dict = ENVIRONMENT,
        fresh: bool = False,
        **kwargs,
    ):
        self._fresh = fresh
        words = [str(word) for word in command]
        super().__init__([sys.executable, *words] if fresh else words, cwd=cwd, env=env, **kwargs)

    def _execute_child(self, *given):
        if self._fresh:
            super()._execute_child(*given)
            return
        args, _, _, _, _, cwd, env, *rest = given
        # Both ends of each standard stream's pipe, -1 where it is inherited.
        pipes = rest[3:9]
        streams = [
            inherited if stream == -1 else stream
            for inherited, stream in enumerate((pipes[0], pipes[3], pipes[5]))
        ]
        with _lock:
            parent = _parent()
            message = json.dumps({"args": args, "cwd": str(cwd), "environment": env})
            socket.send_fds(parent, [message.encode()], streams)
            self.pid = int(parent.recv(20))
        self._child_created = True
        self._close_pipe_fds(*pipes)


def run(command: list, timeout: float = PATIENCE, **kwargs) -> subprocess.CompletedProcess:
    """Runs such a process to its end and captures what it prints."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with Popen(command, **pipes, **kwargs) as process:
        try:
            output, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


@functools.cache
def _parent() -> socket.socket:
    """Starts the parent of the forks, which ends with this process."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        subprocess.Popen(
            [sys.executable, __file__, str(theirs.fileno())],
            env=ENVIRONMENT,
            pass_fds=[theirs.fileno()],
        )
    return ours


def _serve(requests: socket.socket) -> None:
    for name in IMPORTS:
        importlib.import_module(name)
    while True:
        message, streams, *_ = socket.recv_fds(requests, 1 << 20, 3)
        if not message:
            return
        told, tell = os.pipe()
        between = os.fork()
        if not between:
            pid = os.fork()
            if not pid:
                break
            os.write(tell, str(pid).encode())
            os._exit(0)
        # Only then is the process the worker's child.
        os.waitpid(between, 0)
        requests.send(os.read(told, 20))
        for file in (told, tell, *streams):
            os.close(file)
    requests.close()
    os.close(told)
    os.close(tell)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    code = 1
    try:
        _execute(**json.loads(message))
        code = 0
    except SystemExit as ended:
        code = ended.code
        if isinstance(code, str):
            print(code, file=sys.stderr)
        code = int(bool(code)) if not isinstance(code, int) else code
    except BaseException:
        traceback.print_exc()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(code)


def _execute(args: list[str], cwd: str, environment: dict[str, str]) -> None:
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if args[0] == "-m":
        sys.argv, sys.path[0] = args[1:], cwd
        runpy.run_module(args[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv, sys.path[0] = args, str(Path(args[0]).parent)
        runpy.run_path(args[0], run_name="__main__")


if __name__ == "__main__":
    sys.path.insert(1, str(ROOT))
    _serve(socket.socket(fileno=int(sys.argv[1])))
