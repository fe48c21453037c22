"""The pictures of a report, each as the text of an SVG."""

import io

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from tfrs_timirec.comparison.interests import Case


def _svg(figure: Figure) -> str:
    text = io.StringIO()
    # Without the date, equal figures are equal files.
    figure.savefig(text, format="svg", metadata={"Date": None})
    plt.close(figure)
    svg = text.getvalue()
    return svg[svg.index("<svg") :]


def curves(logs: pd.DataFrame, metric: str) -> str:
    """The validation metric by epoch, one line per system (its first seed), phase after phase.

    Args:
        logs: Of `read_logs`.
        metric: Its name.
    """
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for name, log in logs[logs.seed == logs.seed.min()].groupby("name", sort=False):
        epochs = np.arange(1, len(log) + 1)
        # ComiRec is TiMiRec's first phase: the longer line must not hide the shorter one.
        (line,) = axes.plot(epochs, log.metric, label=name, zorder=2 + 1 / len(log))
        for begin in np.flatnonzero(np.diff(log.phase)):
            axes.plot(epochs[begin], log.metric.iloc[begin], "|", color=line.get_color(), ms=14)
    axes.set(xlabel="epoch (a stroke: the next phase)", ylabel=f"validation {metric}")
    axes.legend(fontsize="small", ncols=2)
    return _svg(figure)


def divergence(by_system: dict[str, np.ndarray]) -> str:
    """The distribution of the divergence, one violin per system.

    Args:
        by_system: Name → float [users], in bits.
    """
    figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
    axes.violinplot(list(by_system.values()), showmedians=True)
    axes.set_xticks(range(1, len(by_system) + 1), by_system)
    axes.set(ylabel="Jensen-Shannon divergence, bits", ylim=(0, 1))
    return _svg(figure)


def sensitivity(setting: str, table: pd.DataFrame) -> str:
    """A metric by the values of a setting.

    Args:
        setting: Its name.
        table: Indexed by value, with the columns `mean` and `std` of HR@10.
    """
    figure, axes = plt.subplots(figsize=(4.5, 3.2), layout="constrained")
    places = range(len(table))
    axes.errorbar(places, table["mean"], table["std"].fillna(0), marker="o", capsize=4)
    axes.set_xticks(places, [f"{value:g}" for value in table.index])
    axes.set(xlabel=setting, ylabel="test HR@10")
    return _svg(figure)


def interest_bars(case: Case) -> str:
    """What the predictor gives each interest, beside how well each matches the target."""
    figure, axes = plt.subplots(figsize=(4.5, 2.6), layout="constrained")
    places = np.arange(len(case.predicted))
    axes.bar(places - 0.2, case.predicted, 0.4, color=[f"C{k}" for k in places], label="predicted")
    axes.bar(places + 0.2, case.matched, 0.4, color=[f"C{k}" for k in places], alpha=0.4)
    axes.set_xticks(places, [f"interest {k + 1}" for k in places])
    axes.set(ylabel="share (pale: of the target)", ylim=(0, 1))
    return _svg(figure)


def plane(items: np.ndarray, interests: np.ndarray) -> str:
    """Items and interests in two dimensions.

    Args:
        items: float [items, 2].
        interests: float [users, K, 2].
    """
    figure, axes = plt.subplots(figsize=(6, 5), layout="constrained")
    axes.scatter(*items.T, s=3, color="lightgray", rasterized=True)
    for k in range(interests.shape[1]):
        axes.scatter(*interests[:, k].T, s=8, color=f"C{k}", label=f"interest {k + 1}")
    axes.set(xlabel="first principal axis of the items", ylabel="second")
    axes.legend(fontsize="small")
    return _svg(figure)
