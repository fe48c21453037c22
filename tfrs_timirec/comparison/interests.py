"""What trained systems do with their interests: divergence, a user's case, a map."""

from dataclasses import dataclass

import numpy as np
from scipy.special import rel_entr, softmax

from tfrs_timirec.comparison.settings import Entry
from tfrs_timirec.data.instances import evaluation_instances
from tfrs_timirec.models.timirec import TiMiRec
from tfrs_timirec.training import checkpoint
from tfrs_timirec.training.run import Run
from tfrs_timirec.training.session import Session

USERS = 2_000
TEMPERATURE = 0.1


class Trained:
    """A trained system and its test users.

    Args:
        entry: Its training.
    """

    def __init__(self, entry: Entry):
        run = Run(entry.folder)
        self.session = Session(run.settings())
        self.model, self.store = self.session.model, self.session.store
        if self.model.phases():
            checkpoint.load(run.best(len(self.model.phases())), self.model.state)
        self.length = self.session.settings.model.history_length
        self.instances = evaluation_instances(self.store, "test", self.length)
        self.items = np.asarray(self.model.item_vectors())

    def histories(self, users: np.ndarray) -> list[np.ndarray]:
        """What `query_vectors` takes, for these users."""
        inputs = [self.instances.histories(users, self.length)]
        if self.model.needs_times:
            inputs.append(self.instances.history_times(users, self.length))
        return inputs

    def interests(self, users: np.ndarray) -> np.ndarray:
        """float32 [users, K, D]; one vector each for a system without interests."""
        histories = self.histories(users)
        return np.asarray(self.model.interest_vectors(*histories))

    def scores(self, users: np.ndarray, queries: np.ndarray | None = None) -> np.ndarray:
        """float32 [users, items]; −inf for items of the history.

        Args:
            users: Their numbers.
            queries: [users, M, D]; those of the system without.
        """
        if queries is None:
            queries = np.asarray(self.model.query_vectors(*self.histories(users)))
        scores = np.max(queries @ self.items.T, axis=1)
        for row, user in enumerate(users):
            begin, target = self.store.offsets[user], self.instances.target[user]
            scores[row, self.store.items[begin:target] - 1] = -np.inf
        return scores


def distribution(interests: np.ndarray, items: np.ndarray) -> np.ndarray:
    """How much each interest matches an item: softmax(cos / T), as eqs. 5 and 6 of TiMiRec.

    Args:
        interests: [users, K, D].
        items: [users, D].

    Returns:
        [users, K].
    """
    norms = np.linalg.norm(interests, axis=2) * np.linalg.norm(items, axis=1)[:, None]
    cosine = np.einsum("ukd,ud->uk", interests, items) / np.maximum(norms, 1e-8)
    return softmax(cosine / TEMPERATURE, axis=1)


def divergences(trained: Trained) -> np.ndarray:
    """Between the interests that match the target and those that match the best item.

    The Jensen-Shannon divergence of the two distributions (TiMiRec, figure 2).

    Args:
        trained: A system with several interests.

    Returns:
        float [users], in bits, of a sample of the test users.
    """
    users = sample(trained)
    interests = trained.interests(users)
    best = trained.scores(users).argmax(axis=1)
    target = trained.instances.positives[users] - 1
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
    """The same users for all systems."""
    count = trained.store.num_users
    return np.random.default_rng(0).choice(count, min(USERS, count), replace=False)


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
    """

    user: str
    history: np.ndarray
    history_interest: np.ndarray
    target: int
    predicted: np.ndarray
    matched: np.ndarray
    with_predictor: np.ndarray
    without: np.ndarray


def case(trained: Trained, user_id: str | None, top: int = 10) -> Case:
    """What the predictor changes for a user.

    Args:
        trained: TiMiRec.
        user_id: Whose; without, of a sample, the one whose target gains most places.
        top: Items of each list.

    Raises:
        ValueError: If there is no such user.
    """
    store = trained.store
    if user_id is None:
        users = sample(trained)
    else:
        users = np.array([[str(u) for u in store.user_ids.to_pylist()].index(user_id)])
    interests = trained.interests(users)
    with_predictor, without = trained.scores(users), trained.scores(users, interests)
    target = trained.instances.positives[users]
    rows = np.arange(len(users))

    def rank(scores):
        return (scores >= scores[rows, target - 1][:, None]).sum(axis=1)

    gain = np.log(rank(without)) - np.log(rank(with_predictor))
    row = int(gain.argmax())
    user = users[row]
    history = store.items[store.offsets[user] : trained.instances.target[user]][-trained.length :]
    of_history = distribution(
        np.repeat(interests[row][None], len(history), axis=0), trained.items[history - 1]
    )
    logits = np.asarray(trained.model.interest_logits(*trained.histories(users[row : row + 1])))
    return Case(
        user=str(store.user_ids[int(user)].as_py()),
        history=history,
        history_interest=of_history.argmax(axis=1),
        target=int(target[row]),
        predicted=softmax(logits[0]),
        matched=distribution(interests[row : row + 1], trained.items[target[row : row + 1] - 1])[0],
        with_predictor=np.argsort(-with_predictor[row], kind="stable")[:top] + 1,
        without=np.argsort(-without[row], kind="stable")[:top] + 1,
    )


def is_timirec(trained: Trained) -> bool:
    """Whether there is a predictor."""
    return isinstance(trained.model, TiMiRec)


def in_two_dimensions(trained: Trained) -> tuple[np.ndarray, np.ndarray]:
    """Items, and interests of some users, on the two principal axes of the items.

    Returns:
        float [items, 2] and [users, K, 2].
    """
    users = sample(trained)[:200]
    directions = trained.items / np.linalg.norm(trained.items, axis=1, keepdims=True)
    interests = trained.interests(users)
    interests = interests / np.linalg.norm(interests, axis=2, keepdims=True)
    centre = directions.mean(axis=0)
    _, _, axes = np.linalg.svd(directions - centre, full_matrices=False)
    return (directions - centre) @ axes[:2].T, (interests - centre) @ axes[:2].T
