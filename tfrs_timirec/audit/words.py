"""What the figures of an audit are called, what they mean, and what to do about them."""

from typing import NamedTuple

from scipy.stats import binomtest

from tfrs_timirec.audit.figures import Audit, Tested
from tfrs_timirec.data.splits import date_of

TITLES = {"leave_one_out": "Leave-one-out", "temporal": "Temporal split"}
_BASELINES = {
    "popularity": "What ranking by interactions in training reaches, whoever asks.",
    "repeat": "What ranking the user's own items reaches, the newest first, and no others.",
    "neighbours": "What ranking by how often an item came up to five steps after the newest one "
    "of the history reaches.",
}
# Shares below it are not worth advice; so is the top 1 % of the items below the other one.
_LITTLE, _MUCH = 0.01, 0.2


class Row(NamedTuple):
    """A figure as it is shown: its name, its value and what it is."""

    name: str
    value: str
    meaning: str


def percent(share: float) -> str:
    """A share as a text of three digits."""
    return f"{100 * share:.3g} %"


def splits(audit: Audit) -> dict[str, Tested]:
    """What each split tests, under its title."""
    found = {title: getattr(audit, name) for name, title in TITLES.items()}
    return {title: tested for title, tested in found.items() if tested}


def tables(audit: Audit) -> dict[str, list[Row]]:
    """All figures, in tables by title."""
    log, popularity, times = audit.log, audit.popularity, audit.times
    found = {
        "The log": [
            Row("Interactions", f"{log.interactions:,}", "Those that a training would have."),
            Row("Users", f"{log.users:,}", f"With {log.user_median:g} interactions in the median."),
            Row("Items", f"{log.items:,}", f"With {log.item_median:g} interactions in the median."),
            Row(
                "Repeats", percent(log.repeats), "Interactions with an item that the user had had."
            ),
            Row(
                "Gini of the items",
                f"{popularity.gini:.3f}",
                "Of their interactions: 0 where all have as many, near 1 where one has all.",
            ),
            Row("Top 1 % of the items", percent(popularity.top), "Their share of interactions."),
        ]
    }
    if times:
        first, last = (date_of(time) or f"{time:,}" for time in (times.first, times.last))
        apart = f"multiples of {times.step:,} apart" if times.step else "the same"
        found["The log"] += [
            Row(
                "Duplicates",
                percent(log.duplicates or 0),
                "Interactions with the user, item and time of another one.",
            ),
            Row("Times", f"{first} to {last}", f"All of them {apart}."),
            Row(
                "Ties",
                percent(times.tied),
                "Interactions at the same time as one of the same user with another item.",
            ),
        ]
    for title, tested in splits(audit).items():
        found[title] = [
            Row("Test targets", f"{tested.targets:,}", f"Of {tested.users:,} users."),
            Row(
                "New users",
                f"{tested.new_users:,} ({percent(tested.new_users / tested.users)})",
                "Users with test targets but nothing in the training part.",
            ),
            Row(
                "New items",
                f"{tested.new_items:,} ({percent(tested.new_items / tested.items)})",
                "Items of test targets that the training part lacks.",
            ),
            Row("Targets of new items", percent(tested.new_item_targets), "Of all test targets."),
            Row("Repeated targets", percent(tested.repeats), "Of items that the user had had."),
        ]
        if times and title == TITLES["leave_one_out"]:
            found[title] += [
                Row(
                    "Test targets by ties",
                    percent(times.test_ties),
                    "Those at the same time as another item of the user: the order of rows chose "
                    "them.",
                ),
                Row("Validation targets by ties", percent(times.validation_ties), "Likewise."),
                Row(
                    "Training from later",
                    percent(times.later),
                    "Training interactions, of all users, later than a test target: the mean.",
                ),
                Row(
                    "Items from later",
                    percent(times.items_from_later),
                    "Test targets whose item the training part has only from later.",
                ),
            ]
        found[title] += [
            Row(
                f"By {name}",
                ", ".join(f"{metric} {value:.4f}" for metric, value in figures.items()),
                _BASELINES[name],
            )
            for name, figures in tested.baselines.items()
        ]
    return found


def advice(audit: Audit) -> list[str]:
    """What to do before anyone trains, in plain sentences."""
    log, times, temporal = audit.log, audit.times, audit.temporal
    said = []
    if times and times.test_ties > _LITTLE:
        said.append(
            f"Leave-one-out: {percent(times.test_ties)} of the test targets were chosen by the "
            "order of the rows, for the user had another item at the same time. Use finer times "
            "if there are any, compare figures only on one and the same file, and look at "
            "data.split temporal, which divides no moment."
        )
    if times and times.later > _LITTLE:
        said.append(
            f"Leave-one-out: {percent(times.later)} of what is trained on is, in the mean, later "
            "than the target that is tested. For what a recommender will do from a certain day on, "
            "use data.split temporal."
        )
    for title, tested in splits(audit).items():
        if tested.new_item_targets > _LITTLE:
            said.append(
                f"{title}: {percent(tested.new_item_targets)} of the test targets are of items "
                "that the training part lacks, which no system can have learned. Update often, or "
                "show new items by other means."
            )
        if tested.repeats > _LITTLE:
            said.append(
                f"{title}: {percent(tested.repeats)} of the test targets are items that the user "
                "had had, which recommend leaves out. Show those beside its recommendations, and "
                "keep them apart when you compare systems."
            )
    if temporal and temporal.new_users > _LITTLE * temporal.users:
        said.append(
            f"Temporal split: {percent(temporal.new_users / temporal.users)} of the tested users "
            "are new. Their figures are reported apart; without a history they are recommended "
            "what is popular."
        )
    if log.duplicates:
        said.append(
            f"{percent(log.duplicates)} of the interactions repeat user, item and time of another "
            "one. Drop them from the log, unless each of them counts."
        )
    if audit.popularity.top > _MUCH:
        said.append(
            f"The most popular 1 % of the items have {percent(audit.popularity.top)} of the "
            "interactions. Compare with popularity first, and look at rare targets separately."
        )
    for title, tested in splits(audit).items():
        if not tested.baselines:
            said.append(f"{title}: all users that are tested are new, so nothing can be compared.")
            continue
        name = max(tested.baselines, key=lambda name: tested.baselines[name]["HR@10"])
        best, users = tested.baselines[name], tested.users - tested.new_users
        hits = round(best["HR@10"] * users)
        interval = binomtest(hits, users).proportion_ci(method="wilson")
        said.append(
            f"{title}: counting, by {name}, reaches HR@10 {best['HR@10']:.4f} on the whole "
            f"catalogue ({users:,} users; 95 % interval {interval.low:.4f} to {interval.high:.4f}) "
            f"and NDCG@10 {best['NDCG@10']:.4f}. A system that does not pass that has learned "
            "nothing that counting does not tell."
        )
    return said
