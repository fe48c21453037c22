"""The two protocols of the test: among fixed random negatives, and among the whole catalogue."""

import numpy as np

from tfrs_timirec.data.instances import Instances
from tfrs_timirec.evaluation.metrics import BEYOND
from tfrs_timirec.evaluation.ranking import Ranker


def protocol_ranks(
    ranker: Ranker,
    popularity: Ranker,
    targets: Instances,
    negatives: np.ndarray,
) -> dict[str, np.ndarray]:
    """The rank of each target, in both protocols.

    A user without a history, or with one of unknown items alone, is recommended what is popular. A
    target that the recommender does not know, the item 0, is in no list, however long.

    Args:
        ranker: Of the recommender.
        popularity: Of the baseline.
        targets: With their histories.
        negatives: int32 [users, n], the fixed negatives of the sampled protocol.

    Returns:
        int64 [targets] for `sampled` and for `full` (the catalogue less the user's history).
    """
    unknown = targets.positives == 0
    histories = targets.histories(np.arange(len(targets)), targets.max_length)
    lonely = ~histories.any(axis=1)
    ranks = {}
    for protocol, candidates in (("sampled", negatives), ("full", None)):
        ranks[protocol] = np.full(len(targets), BEYOND)
        for without_history, of in ((False, ranker), (True, popularity)):
            chosen = np.flatnonzero((lonely == without_history) & ~unknown)
            if len(chosen):
                ranks[protocol][chosen] = of.ranks(targets.chosen(chosen), candidates)
    return ranks
