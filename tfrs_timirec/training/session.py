"""What the commands share: the data and the model of a run."""

import keras
import numpy as np
import tensorflow as tf

from tfrs_timirec.config import Settings
from tfrs_timirec.data import SequenceStore, load
from tfrs_timirec.data.instances import untouched_items
from tfrs_timirec.models.popularity import Popularity
from tfrs_timirec.models.timirec import TiMiRec


class Session:
    """The data, the fixed negatives and the untrained model of some settings.

    Args:
        settings: Everything that decides what a run computes.
    """

    def __init__(self, settings: Settings):
        self.settings = settings
        # One compilation for each width of a batch is meant; TensorFlow warns of them.
        tf.get_logger().setLevel("ERROR")
        keras.utils.set_random_seed(settings.seed)
        if settings.training.deterministic:
            tf.config.experimental.enable_op_determinism()
        self.store: SequenceStore = load(settings.data, settings.seed)
        self.negatives: np.ndarray = untouched_items(self.store, "all").draw_sets(
            settings.evaluation.negatives, np.random.default_rng(settings.seed)
        )
        self.model = TiMiRec(
            self.store.num_items,
            settings.model,
            settings.training.initial_stddev,
            settings.seed,
        )

    def popularity(self) -> Popularity:
        """The baseline that counts the interactions of the training part."""
        store = self.store
        held_out = np.concatenate([store.offsets[1:] - 1, store.offsets[1:] - 2])
        items = np.delete(store.items, held_out)
        return Popularity(np.bincount(items, minlength=store.num_items + 1)[1:])
