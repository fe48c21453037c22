"""What the commands share: the data and the model of a run."""

from dataclasses import replace

import keras
import numpy as np
import tensorflow as tf

from tfrs_timirec.config import Settings
from tfrs_timirec.data import SequenceStore, load
from tfrs_timirec.data.instances import untouched_items
from tfrs_timirec.errors import UserError
from tfrs_timirec.models.base import SequentialRecommender
from tfrs_timirec.models.popularity import Popularity
from tfrs_timirec.models.systems import SYSTEMS, check_settings


class Session:
    """The data, the fixed negatives and the untrained model of some settings.

    Args:
        settings: Everything that decides what a run computes.

    Raises:
        UserError: If the system has not all the settings that were set, or needs times that the
            log has not.
    """

    def __init__(self, settings: Settings):
        check_settings(settings.model)
        self.settings = settings
        # One compilation for each width of a batch is meant; TensorFlow warns of them.
        tf.get_logger().setLevel("ERROR")
        keras.utils.set_random_seed(settings.seed)
        if settings.training.deterministic:
            tf.config.experimental.enable_op_determinism()
        self.store: SequenceStore = self._load()
        self.negatives: np.ndarray = untouched_items(self.store, "all").draw_sets(
            settings.evaluation.negatives, np.random.default_rng(settings.seed)
        )
        self.model: SequentialRecommender = self._build()

    def _load(self) -> SequenceStore:
        data, system = self.settings.data, self.settings.model.system
        store = load(data, self.settings.seed)
        if not SYSTEMS[system].needs_times:
            # What the system does not read is no part of the run's data.
            return replace(store, times=None)
        if store.times is None:
            raise UserError(
                f"The system {system} needs times, but {data.source} was read without: set "
                f"data.time_column to its column of times, or choose another model.system."
            )
        return store

    def _build(self) -> SequentialRecommender:
        settings = self.settings
        system = SYSTEMS[settings.model.system]
        if system is Popularity:
            return self.popularity()
        return system(
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
