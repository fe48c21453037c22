"""The training curve as a picture."""

from typing import Any

from matplotlib.figure import Figure

from tfrs_timirec.files import write_whole
from tfrs_timirec.training.run import Run


def write_curve(run: Run, rows: list[dict[str, Any]], metric_name: str) -> None:
    """Draws `curve.png`: the loss and the validation metric over the epochs of each phase.

    Args:
        run: Where the picture goes.
        rows: The log, a row an epoch.
        metric_name: The name of its `metric`.
    """
    figure = Figure(figsize=(10, 4), layout="constrained")
    loss_axes, metric_axes = figure.subplots(1, 2)
    for phase in sorted({row["phase"] for row in rows}):
        epochs = [i for i, row in enumerate(rows, 1) if row["phase"] == phase]
        for axes, column in ((loss_axes, "loss"), (metric_axes, "metric")):
            axes.plot(epochs, [rows[i - 1][column] for i in epochs], label=f"phase {phase}")
    loss_axes.set(xlabel="epoch", ylabel="training loss")
    metric_axes.set(xlabel="epoch", ylabel=f"validation {metric_name}")
    metric_axes.legend()
    write_whole(run.folder / "curve.png", lambda file: figure.savefig(file, format="png", dpi=120))
