"""Predicted interests against those that the synthetic data planted."""

import numpy as np
import tensorflow as tf

from tfrs_timirec.data.instances import evaluation_instances
from tfrs_timirec.data.store import SequenceStore
from tfrs_timirec.models.timirec import TiMiRec


def planted_agreement(
    model: TiMiRec, store: SequenceStore, max_length: int
) -> dict[str, float] | None:
    """How often the predictor names the interest that truly drives the test action.

    A planted interest's vector is the mean of its items' vectors; the learned interest that is
    nearest to it by cosine stands for it.

    Args:
        model: A trained TiMiRec.
        store: Sequences with their true interests.
        max_length: L.

    Returns:
        `agreement` (share of users, 0 to 1), `most frequent` (what naming always the same
        learned interest would reach); none for a log whose interests are unknown.
    """
    if store.interests is None:
        return None
    instances = evaluation_instances(store, "test", max_length)
    history = instances.histories(np.arange(len(instances)), max_length)
    truth = store.interests[instances.target]
    vectors = model.item_vectors().numpy()
    planted = np.zeros((store.interests.max() + 1, vectors.shape[1]))
    np.add.at(planted, store.interests, vectors[store.items - 1])
    interests = tf.math.l2_normalize(model.pretrained.query_vectors(history), axis=-1).numpy()
    nearest = np.einsum("ukd,ud->uk", interests, planted[truth]).argmax(axis=1)
    predicted = model.interest_logits(history).numpy().argmax(axis=1)
    return {
        "agreement": float((predicted == nearest).mean()),
        "most frequent": float(np.bincount(nearest).max() / len(nearest)),
    }
