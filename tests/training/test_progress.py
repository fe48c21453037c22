import dataclasses

import pytest

from tfrs_timirec.config import TrainingSettings
from tfrs_timirec.training.progress import Progress


def _epochs_until_converged(metrics, **settings):
    settings = TrainingSettings(**{"max_epochs": 100, "patience": 100, "decline": 100} | settings)
    progress = Progress()
    for metric in metrics:
        assert not progress.stop_reason(settings)
        progress.end_epoch(metric, {"loss": 1.0})
        if progress.stop_reason(settings):
            return progress.epoch
    return None


@pytest.mark.parametrize(
    ("metrics", "settings", "epochs"),
    [
        ([0.1, 0.2, 0.3, 0.4], {"max_epochs": 3}, 3),
        ([0.1], {"max_epochs": 1}, 1),
        ([0.1, 0.2, 0.3, 0.4], {}, None),
        # Patience: epochs since the best one; an equal metric is no better one.
        ([0.5, 0.4, 0.45, 0.49, 0.6], {"patience": 3}, 4),
        ([0.5, 0.5, 0.5], {"patience": 2}, 3),
        ([0.5, 0.4, 0.6, 0.5, 0.55], {"patience": 2}, 5),
        ([0.5, 0.4, 0.6, 0.5, 0.7], {"patience": 2}, None),
        ([0.0, 0.0, 0.0], {"patience": 2}, 3),
        # Decline: an uninterrupted one, so an equal or a better metric ends it.
        ([0.5, 0.4, 0.3, 0.2], {"decline": 3}, 4),
        ([0.5, 0.4, 0.3, 0.3, 0.2, 0.1], {"decline": 3}, None),
        ([0.5, 0.4, 0.3, 0.35, 0.3, 0.2, 0.1], {"decline": 3}, 7),
        ([0.5, 0.4], {"decline": 1}, 2),
    ],
)
def test_when_a_phase_has_converged(metrics, settings, epochs):
    assert _epochs_until_converged(metrics, **settings) == epochs


def test_the_best_epoch_is_the_first_of_the_highest_metric():
    progress = Progress()
    found = [progress.end_epoch(metric, {}) for metric in (0.0, 0.3, 0.3, 0.2, 0.4)]
    assert found == [True, True, False, False, True]
    assert (progress.best, progress.best_epoch) == (0.4, 5)


def test_an_epoch_that_ends_is_logged_and_resets_the_steps():
    progress = Progress(step=7, loss_sum=3.5, seconds=2.0)
    progress.end_epoch(0.25, {"loss": 0.5})
    assert (progress.epoch, progress.step, progress.loss_sum, progress.seconds) == (1, 0, 0.0, 0.0)
    assert progress.log == [{"phase": 1, "epoch": 1, "loss": 0.5, "metric": 0.25}]


def test_the_next_phase_keeps_the_log_alone():
    progress = Progress()
    for metric in (0.5, 0.4, 0.3):
        progress.end_epoch(metric, {})
    log = list(progress.log)
    progress.next_phase()
    assert dataclasses.asdict(progress) == dataclasses.asdict(Progress(phase=2, log=log))
    # A lower metric than the last of the phase before is no decline.
    assert progress.end_epoch(0.1, {})
    assert progress.declines == 0
    assert progress.log[-1] == {"phase": 2, "epoch": 1, "metric": 0.1}


@pytest.mark.parametrize(
    ("metrics", "fell"),
    [
        ([[0.3, 0.5], [0.4, 0.45]], (0.5, 0.45)),
        ([[0.3, 0.5], [0.4, 0.5]], None),
        ([[0.3, 0.5]], None),
    ],
)
def test_a_phase_that_ends_below_the_one_before_is_noticed(metrics, fell):
    progress = Progress()
    for number, of_phase in enumerate(metrics):
        if number:
            progress.next_phase()
        for metric in of_phase:
            progress.end_epoch(metric, {})
    assert progress.fell_short == fell
