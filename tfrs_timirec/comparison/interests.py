"""What trained systems do with their interests: divergence, a user's case, a map."""

from dataclasses import dataclass

import numpy as np
from scipy.special import rel_entr, softmax

from tfrs_timirec.comparison.settings import Entry
from tfrs_timirec.directions import directions
from tfrs_timirec.errors import UserError
from tfrs_timirec.recommender import Recommender

TARGETS = 2_000
TEMPERATURE = 0.1


class Trained:
    """A trained system and its test targets, of users with a history.

    Args:
        entry: Its training.
    """

    def __init__(self, entry: Entry):
        recommender = Recommender.load(entry.folder)
        self.model, self.store = recommender.system, recommender.sequences
        self.length = recommender.settings.model.history_length
        self.instances = recommender.tested.with_history()
        self.items = recommender.item_vectors()
        self.num_interests = self.model.user_tower.output["interests"].shape[1]

    def represent(self, targets: np.ndarray) -> dict[str, np.ndarray]:
        """What the user tower gives, for the histories of these targets."""
        given = self.model.represent(self.instances.inputs(targets, self.length))
        return {name: np.asarray(values) for name, values in given.items()}

    def scores(self, targets: np.ndarray, queries: np.ndarray) -> np.ndarray:
        """float32 [targets, items]; −inf for the history and the user's other targets.

        Args:
            targets: Their numbers.
            queries: [targets, M, D].
        """
        # Of all at once the products would need M times the memory.
        scores = np.stack([(of_one @ self.items.T).max(axis=0) for of_one in queries])
        rows, items = self.instances.no_candidates(targets)
        is_other = items != self.instances.positives[targets][rows]
        scores[rows[is_other], items[is_other] - 1] = -np.inf
        return scores


def distribution(interests: np.ndarray, items: np.ndarray) -> np.ndarray:
    """How much each interest matches an item: softmax(cos / T), as eqs. 5 and 6 of TiMiRec.

    Args:
        interests: [users, K, D].
        items: [users, D].

    Returns:
        [users, K].
    """
    cosine = np.einsum("ukd,ud->uk", directions(interests), directions(items))
    return softmax(cosine / TEMPERATURE, axis=1)


def divergences(trained: Trained) -> np.ndarray:
    """Between the interests that match the target and those that match the best item.

    The Jensen-Shannon divergence of the two distributions (TiMiRec, figure 2).

    Args:
        trained: A system with several interests.

    Returns:
        float [targets], in bits, of a sample of the test targets.
    """
    targets = sample(trained)
    given = trained.represent(targets)
    interests = given["interests"]
    best = trained.scores(targets, given["query_vectors"]).argmax(axis=1)
    target = trained.instances.positives[targets] - 1
    of_target = distribution(interests, trained.items[target])
    of_best = distribution(interests, trained.items[best])
    return jensen_shannon(of_target, of_best)


def jensen_shannon(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """The Jensen-Shannon divergence of distributions.

    Args:
        p: float [n, K].
        q: float [n, K].

    Returns:
        float [n], in bits, from 0 to 1.
    """
    middle = (p + q) / 2
    nats = (rel_entr(p, middle) + rel_entr(q, middle)).sum(axis=1) / 2
    # Rounding takes that of equal distributions below 0, where SciPy's square root is not a number.
    return np.maximum(nats, 0) / np.log(2)


def sample(trained: Trained) -> np.ndarray:
    """The same targets for all systems."""
    count = len(trained.instances)
    return np.random.default_rng(0).choice(count, min(TARGETS, count), replace=False)


@dataclass
class Case:
    """A user (TiMiRec, figure 4). Items are indices, from 1.

    Args:
        user: Whose.
        history: int [n], oldest first.
        history_interest: int [n], the interest that matches each item best.
        target: The item of the test split.
        predicted: float [K], what the predictor gives each interest.
        matched: float [K], how well each interest matches the target.
        with_predictor: The best items with the predicted weights.
        without: The best items by the best-matching interest.
        place: Of the target with the predicted weights, from 1.
        place_alike: Of the target with equal weights, from 1.
        place_without: Of the target by the best-matching interest, from 1.
    """

    user: str
    history: np.ndarray
    history_interest: np.ndarray
    target: int
    predicted: np.ndarray
    matched: np.ndarray
    with_predictor: np.ndarray
    without: np.ndarray
    place: int
    place_alike: int
    place_without: int


def case(
    trained: Trained, user_id: str | None, known: np.ndarray | None = None, top: int = 10
) -> Case:
    """What the predictor changes for a user.

    Args:
        trained: TiMiRec.
        user_id: Whose; without, of a sample, the one whose target gains most places by the
            predicted weights, over the better of what there is without them; if they bring any
            into the list that is shown, one of these.
        known: bool [items], items that say something to a reader: users who had only such are
            taken before others.
        top: Items of each list.

    Raises:
        UserError: If there is no such user, or nothing of that user is tested.
    """
    store, instances = trained.store, trained.instances
    if user_id is None:
        targets = sample(trained)
    else:
        is_user = np.array([str(user) == user_id for user in store.user_ids.to_pylist()])
        targets = np.flatnonzero(is_user[instances.users])
        if not len(targets):
            raise UserError(
                f"case_user is {user_id!r}, but no such user is tested: give one of the log, or "
                "null to have one chosen."
            )
    given = trained.represent(targets)
    with_predictor = trained.scores(targets, given["query_vectors"])
    alike = trained.scores(targets, given["interests"].mean(axis=1, keepdims=True))
    without = trained.scores(targets, given["interests"])
    positive = instances.positives[targets]

    def places(scores):
        return (scores >= np.take_along_axis(scores, positive[:, None] - 1, axis=1)).sum(axis=1)

    place, place_alike, place_without = (places(s) for s in (with_predictor, alike, without))
    gain = np.log(np.minimum(place_alike, place_without)) - np.log(place)
    histories = [store.items[instances.start[target] : instances.end[target]] for target in targets]
    eligible = np.arange(len(targets))
    if known is not None:
        is_known = [
            known[np.append(history, item) - 1].all()
            for history, item in zip(histories, positive, strict=True)
        ]
        eligible = np.flatnonzero(is_known) if any(is_known) else eligible
    # In the list that is shown the reader finds the target.
    shown = eligible[((place <= top) & (gain > 0))[eligible]]
    eligible = shown if len(shown) else eligible
    row = int(eligible[gain[eligible].argmax()])
    history, interests = histories[row], given["interests"][row]
    of_history = distribution(
        np.repeat(interests[None], len(history), axis=0), trained.items[history - 1]
    )
    return Case(
        user=str(store.user_ids[int(instances.users[targets[row]])].as_py()),
        history=history,
        history_interest=of_history.argmax(axis=1),
        target=int(positive[row]),
        predicted=given["interest_weights"][row],
        matched=distribution(interests[None], trained.items[positive[row] - 1][None])[0],
        with_predictor=np.argsort(-with_predictor[row], kind="stable")[:top] + 1,
        without=np.argsort(-without[row], kind="stable")[:top] + 1,
        place=int(place[row]),
        place_alike=int(place_alike[row]),
        place_without=int(place_without[row]),
    )


@dataclass
class Map:
    """Items, and interests of some users, on the two principal axes of the interests' directions.

    Args:
        items: float [items, 2].
        interests: float [users, K, 2].
        spread: The share of the interests' variance that the two axes have.
        own: The share of interests that are nearer to the mean of all users' interests of their
            number than to the means of the other numbers.
        nearest: int [K, n], for each number the items nearest to that mean, the nearest first;
            items are indices, from 1.
    """

    items: np.ndarray
    interests: np.ndarray
    spread: float
    own: float
    nearest: np.ndarray


def map_of(trained: Trained, users: int = 200, top: int = 5) -> Map:
    """The map of a system's items and interests.

    Args:
        trained: A system with several interests.
        users: How many users' interests, of the sample.
        top: Items that are named for each interest.
    """
    interests = trained.represent(sample(trained)[:users])["interests"]
    items, interests = directions(trained.items), directions(interests)
    means = directions(interests.mean(axis=0))
    numbers = np.arange(len(means))
    centre = interests.mean(axis=(0, 1))
    _, lengths, axes = np.linalg.svd(
        (interests - centre).reshape(-1, len(centre)), full_matrices=False
    )
    return Map(
        items=(items - centre) @ axes[:2].T,
        interests=(interests - centre) @ axes[:2].T,
        spread=float((lengths[:2] ** 2).sum() / (lengths**2).sum()),
        own=float(((interests @ means.T).argmax(axis=2) == numbers).mean()),
        nearest=np.argsort(-means @ items.T, axis=1, kind="stable")[:, :top] + 1,
    )
