"""A trained run, as the measurements of its validation targets take it."""

from pathlib import Path

from tfrs_timirec.data.task import Task
from tfrs_timirec.recommender import Recommender

# Who is scored at a time.
USERS_A_BLOCK = 256


def trained(run: Path) -> tuple[Recommender, Task]:
    """The recommender of a run folder, and what it learned from and is validated by.

    Raises:
        UserError: If it is not a finished run, or is damaged.
    """
    model = Recommender.load(run)
    return model, Task.of(model.sequences, model.settings, "times" in model.system.tower_inputs)
