"""Runs a command again and again, disturbed at its n-th step on the disk, and then undisturbed.

A step is a file opened to be written, a flush, a rename, a folder made, or a removal. `kill` ends
the process by SIGKILL before it; `fill` lets it and all later writes fail, as a full disk does. A
case runs in a fork of this process, which has imported what the command needs and computed nothing.

Usage: python disturb.py <kill or fill> <command> <an empty folder> <every how many-th n>

Prints a JSON object a case: `n`, the exit `code` (−9 for killed), what was `told` on stderr,
the same of the command given again, `again` and `told again`, and `differs`, the files that are not
as after an undisturbed run.
"""

import errno
import hashlib
import importlib
import json
import os
import shutil
import signal
import sys
import tempfile
import traceback
from pathlib import Path

import numpy as np
import pandas as pd

from tfrs_timirec.errors import run_command

# What must be imported before the forks.
IMPORTS = {
    "files": ["tfrs_timirec.files"],
    "data": ["tfrs_timirec.data.preparation", "tfrs_timirec.data.readers", "duckdb"],
    "train": ["tfrs_timirec.recommender", "tfrs_timirec.train"],
    "learn": ["tfrs_timirec.recommender", "tfrs_timirec.train"],
    "recommend": ["tfrs_timirec.shards", "tfrs_timirec.recommend"],
    "export": ["tfrs_timirec.export.publish", "tfrs_timirec.export.__main__"],
}
# They hold times or, of Keras, dates; a checkpoint holds the times of its log.
VARYING = ("recommender.json", "user_tower.keras", "latest.npz", "model_card.md")
TRAINING = [
    "--run=run",
    "--data.source=log.csv",
    "--data.folder=data",
    "--evaluation.negatives=5",
    "--model.history_length=3",
    "--training.batch_size=64",
    "--training.max_epochs=2",
]


def files(_: list[str]) -> None:
    from tfrs_timirec.files import locked, scratch, told, write_folder, write_whole

    with locked(Path("run")), scratch(Path("."), ".scratch") as folder:
        with told(folder):
            (folder / "spilled").write_text("much")
        write_whole(Path("whole"), lambda file: file.write(b"new"))

        def write(folder: Path) -> None:
            for name in ("a", "b"):
                (folder / name).write_text("new")

        write_folder(Path("folder"), write)


def data(_: list[str]) -> None:
    from tfrs_timirec.config import DataSettings
    from tfrs_timirec.data import load

    load(DataSettings(source="log.csv", folder="data", core=1), 0)


def command(module: str, *arguments: str):
    def run(further: list[str]) -> None:
        sys.argv = ["command", *arguments, *further]
        importlib.import_module(module)._main()

    return run


POPULARITY, LEARNED = "--model.system=popularity", "--model.system=youtube_dnn"
COMMANDS = {
    "files": files,
    "data": data,
    "train": command("tfrs_timirec.train", *TRAINING, POPULARITY),
    "learn": command("tfrs_timirec.train", *TRAINING, LEARNED),
    "recommend": command("tfrs_timirec.recommend", "run", "--out=recommended", "--k=2"),
    "export": command("tfrs_timirec.export.__main__", "run", "--out=models", "--k=2"),
}


def prepare(name: str) -> None:
    """Makes what is there before the command."""
    rng = np.random.default_rng(0)
    rows = [(u, i, t) for u in range(40) for t, i in enumerate(rng.permutation(20)[:8])]
    pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"]).to_csv("log.csv", index=False)
    if name == "files":
        Path("whole").write_text("old")
        Path("folder").mkdir()
        Path("folder", "a").write_text("old")
    if name in ("recommend", "export"):
        outcome(COMMANDS["train"], [])


def outcome(run, further: list[str], how: str = "", n: int = 0) -> tuple[int, str]:
    """The exit code of a command in a fork, and its standard error."""
    with tempfile.TemporaryFile("w+") as told:
        child = os.fork()
        if not child:
            code = 1
            try:
                os.dup2(told.fileno(), 2)
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
                eagerly()
                if how:
                    disturb(how, n)
                run_command(lambda: run(further))
                code = 0
            except SystemExit as exit_:
                code = exit_.code
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        _, status = os.waitpid(child, 0)
        told.seek(0)
        return os.waitstatus_to_exitcode(status), told.read()


def eagerly() -> None:
    """Nothing is compiled, which takes longer than to train a tiny model."""
    if "tensorflow" in sys.modules:
        sys.modules["tensorflow"].config.run_functions_eagerly(True)


def disturb(how: str, n: int) -> None:
    """From now on the n-th step on the disk goes wrong."""
    here, seen, fsync = str(Path.cwd()), 0, os.fsync

    def step(writes: bool) -> None:
        nonlocal seen
        seen += writes or how == "kill"
        if how == "kill" and seen == n:
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "fill" and writes and seen >= n:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def audit(event: str, arguments: tuple) -> None:
        if event == "open" and isinstance(arguments[0], str | os.PathLike):
            path, _, flags = arguments
            inside = str(Path(path).absolute()).startswith(here)
            # A removal opens folders with flags of its own.
            if inside and flags is not None and flags & (os.O_WRONLY | os.O_RDWR):
                step(writes=True)
        elif event == "os.mkdir":
            step(writes=True)
        elif event in ("os.rename", "os.remove", "os.rmdir"):
            step(writes=False)

    def flush(descriptor: int) -> None:
        step(writes=True)
        fsync(descriptor)

    os.fsync = flush
    sys.addaudithook(audit)


def state() -> dict[str, str]:
    """All that is in the folder, with what must be the same of it."""
    found = {}
    for path in sorted(Path().rglob("*")):
        if path.is_dir() or path.name in VARYING or ".tfevents." in path.name:
            content = b""
        elif path.name == "log.csv" and path.parent.name == "run":
            content = pd.read_csv(path)[["phase", "epoch", "loss", "metric"]].to_csv().encode()
        else:
            content = path.read_bytes()
        # TensorFlow's own files hold dates and are in no fixed order.
        exported = path.parts[0] == "models"
        found[str(path)] = "" if exported else hashlib.sha256(content).hexdigest()
    return found


def main() -> None:
    how, name, folder, stride = sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
    for module in IMPORTS[name]:
        importlib.import_module(module)
    run, resume = COMMANDS[name], ["--resume"] * (name in ("train", "learn"))
    before, work = folder / "before", folder / "work"

    def begin() -> None:
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(before, work)
        os.chdir(work)

    before.mkdir()
    os.chdir(before)
    prepare(name)
    begin()
    code, told = outcome(run, resume)
    assert code == 0, told
    expected = state()
    n = 1
    while True:
        begin()
        code, told = outcome(run, resume, how, n)
        ended = code == 0
        again, told_again = outcome(run, resume)
        found = state()
        differs = sorted(
            path for path in {*expected, *found} if expected.get(path) != found.get(path)
        )
        case = {"n": n, "code": code, "told": told, "again": again, "told again": told_again}
        print(json.dumps(case | {"differs": differs}), flush=True)
        if ended:
            return
        n += stride


if __name__ == "__main__":
    main()
