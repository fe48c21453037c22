"""The training objective: what a query vector has to do with its target and with other items."""

import math

import keras
from keras import ops

from tfrs_timirec.models.losses import (
    bpr_loss,
    gbce_loss,
    sampled_softmax_loss,
    softmax_loss,
)
from tfrs_timirec.models.settings import ModelSettings


class Objective:
    """The loss of `settings.objective`.

    `bpr` tells each target from its own negative. `sampled_softmax` and `gbce` tell it from the
    negatives of the whole batch, which are as good as uniform, and `softmax` from the whole
    catalogue.

    Args:
        settings: Which objective, and its settings.
    """

    def __init__(self, settings: ModelSettings):
        self._settings = settings

    @property
    def shares_negatives(self) -> bool:
        """Whether each target is told from the negatives of the whole batch."""
        return self._settings.objective in ("sampled_softmax", "gbce")

    def __call__(self, query, positive, negative, items: keras.layers.Embedding, taught=None):
        """The loss of each instance.

        Args:
            query: float [batch, D], the query vectors.
            positive: int32 [batch], the targets.
            negative: int32 [batch], an item for each instance that its user has not touched, 0
                for none.
            items: The items' vectors, with a row 0 for padding.
            taught: float [batch, items], a teacher's probabilities of all items, of which `softmax`
                learns; None without a teacher.

        Returns:
            float [batch].
        """
        objective = self._settings.objective
        target = ops.cast(items(positive), query.dtype)
        if objective == "bpr":
            loss = bpr_loss(query, target, ops.cast(items(negative), query.dtype))
            return ops.where(negative > 0, loss, 0.0)
        is_whole = objective == "softmax"
        others = ops.arange(1, items.input_dim) if is_whole else negative
        score = ops.sum(query * target, axis=-1)
        vectors = items(others)
        # The largest product of a step, in the precision of the layers.
        scores = ops.matmul(ops.cast(query, vectors.dtype), ops.transpose(vectors))
        scores = ops.cast(scores, query.dtype)
        smoothing = self._settings.label_smoothing
        if is_whole:
            return softmax_loss(score, scores, smoothing, taught)
        is_other = (positive[:, None] != others) & (others > 0)
        # Of all other items: neither the row of padding nor the target.
        drawn = others.shape[0] / (items.input_dim - 2)
        if objective == "gbce":
            return gbce_loss(score, scores, is_other, drawn, self._settings.calibration)
        correction, hardness = -math.log(drawn), self._settings.hardness
        return sampled_softmax_loss(score, scores, is_other, correction, smoothing, hardness)
