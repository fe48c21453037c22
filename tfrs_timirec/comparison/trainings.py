"""Trains what a comparison lacks, each run in a process of its own."""

import os
import signal
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from dataclasses import asdict, replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from queue import SimpleQueue
from threading import Event

import yaml
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tfrs_timirec.comparison.settings import Entry
from tfrs_timirec.config import Settings
from tfrs_timirec.errors import UserError
from tfrs_timirec.files import write_whole


def train_missing(entries: list[Entry], jobs: int) -> None:
    """Trains the entries that are not done; those that were interrupted continue.

    Where one entry is the first phase of another, it is trained once, and the other goes on from
    it; where it is a teacher of another, it is trained before it. The output of each goes to a file
    beside its run folder.

    Args:
        entries: What is to be there.
        jobs: Trainings at a time.

    Raises:
        UserError: If a training fails: its last line, and where the rest is; if one that is done
            had other settings, but for fewer epochs of its only phase, which are made up for; or if
            two have each other as teachers.
        KeyboardInterrupt: Once the trainings have saved themselves.
    """
    # Systems and their runs import Keras, which takes seconds.
    from tfrs_timirec.models.systems import SYSTEMS
    from tfrs_timirec.training.run import Run

    def is_complete(entry: Entry) -> bool:
        if not entry.done:
            return False
        run = Run(entry.folder)
        run.check(entry.settings, resume=True)
        if run.settings() == entry.settings:
            return True
        # It had fewer epochs.
        if SYSTEMS[entry.settings.model.system].first_phase(entry.settings.model):
            raise UserError(
                f"{entry.folder} had fewer epochs, and only its last phase could go on: delete "
                "it, or name another folder with --runs."
            )
        return False

    first = {entry.folder: first_of(entry, entries) for entry in entries}
    before = _before(entries, first)
    # A training that waits for another would keep others from its cores.
    folders = list(before)
    missing = sorted(
        (entry for entry in entries if not is_complete(entry)),
        key=lambda entry: folders.index(entry.folder),
    )
    processes: list[subprocess.Popen] = []
    stopping = Event()
    shares: SimpleQueue[set[int]] = SimpleQueue()
    for share in shares_of_cores(jobs):
        shares.put(share)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn()) as progress, ThreadPoolExecutor(jobs) as pool:
        task = progress.add_task(
            "trainings", total=len(entries), completed=len(entries) - len(missing)
        )
        trainings: dict[Future, Entry] = {}
        for entry in missing:
            pretrained = first[entry.folder]
            awaited = [
                future
                for future, other in trainings.items()
                if other.folder in before[entry.folder]
            ]
            future = pool.submit(_train, entry, pretrained, awaited, processes, stopping, shares)
            trainings[future] = entry
        try:
            for training in as_completed(trainings):
                training.result()
                progress.advance(task)
                progress.console.print(f"trained {trainings[training].folder}", markup=False)
        except BaseException:
            # Whatever the reason: what runs saves itself, and what waits is not begun.
            for training in trainings:
                training.cancel()
            stopping.set()
            for process in processes:
                if process.poll() is None:
                    process.terminate()
            raise


def first_of(entry: Entry, entries: list[Entry]) -> Entry | None:
    """Which of the entries trains the first phase of another, if one does.

    Args:
        entry: The other.
        entries: Those that are trained.
    """
    # Systems import Keras, which takes seconds.
    from tfrs_timirec.models.systems import SYSTEMS

    def alike(settings: Settings) -> Settings:
        """The settings without that of the second phase."""
        return replace(settings, training=replace(settings.training, second_learning_rate=None))

    model = SYSTEMS[entry.settings.model.system].first_phase(entry.settings.model)
    settings = alike(replace(entry.settings, model=model))
    return next((other for other in entries if alike(other.settings) == settings), None)


def _before(entries: list[Entry], first: dict[Path, Entry | None]) -> dict[Path, set[Path]]:
    """By each entry's folder those that are trained before it; the keys are in that order, too."""
    folders = {entry.folder for entry in entries}
    before = {}
    for entry in entries:
        named = [Path(teacher) for teacher in entry.settings.training.teachers]
        named += [first[entry.folder].folder] if first[entry.folder] else []
        before[entry.folder] = folders.intersection(named)
    try:
        return {folder: before[folder] for folder in TopologicalSorter(before).static_order()}
    except CycleError as error:
        circle = ", ".join(map(str, error.args[1]))
        raise UserError(
            "None of these can be trained first, for each learns from another "
            f"(training.teachers): {circle}."
        ) from None


def shares_of_cores(jobs: int) -> list[set[int]]:
    """The cores of each of the trainings at a time; to share them would slow all down.

    Args:
        jobs: Trainings at a time.

    Returns:
        One set per training, empty where the system cannot tell or bind cores.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return [set(cores[job::jobs]) or set(cores) for job in range(jobs)]


def _train(
    entry: Entry,
    first: Entry | None,
    awaited: list[Future],
    processes: list[subprocess.Popen],
    stopping: Event,
    shares: "SimpleQueue[set[int]]",
) -> None:
    folder = entry.folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    config = Path(f"{folder}.yaml")
    text = yaml.safe_dump(asdict(entry.settings), sort_keys=False)
    write_whole(config, lambda file: file.write(text.encode()))
    command = [sys.executable, "-m", "tfrs_timirec.train", "--config", str(config)]
    wait(awaited)
    if first and first.done:
        command += ["--pretrained", str(first.folder)]
    output = Path(f"{folder}.log")
    share = shares.get()
    try:
        with open(output, "a") as log:
            begun = log.tell()
            process = subprocess.Popen(
                [*command, "--run", str(folder), "--resume"], stdout=log, stderr=subprocess.STDOUT
            )
        processes.append(process)
        if stopping.is_set():
            # Begun too late for the others' end to reach it, and nothing would end it.
            process.terminate()
        if share:
            # Before it imports TensorFlow, which makes a thread for each core that it may use.
            os.sched_setaffinity(process.pid, share)
        code = process.wait()
    finally:
        # Else a training that cannot begin would leave the next one waiting for its cores.
        shares.put(share)
    if code:
        lines = output.read_bytes()[begun:].decode(errors="replace").strip().splitlines()
        why = f"{signal.Signals(-code).name} ended it" if code < 0 else ["no output", *lines][-1]
        raise UserError(f"The training of {folder} failed: {why} (all of it: {output})")
