"""What a recommender makes of its users, from the raw ids of their histories."""

from typing import NamedTuple

import tensorflow as tf

from tfrs_timirec.export.history import Newest
from tfrs_timirec.export.signatures import Tensors
from tfrs_timirec.export.vocabulary import Vocabulary
from tfrs_timirec.recommender import Recommender


class Users(NamedTuple):
    """The users of a batch.

    Args:
        history: int32 [batch, n], item indices as the request has them; 0 for what is no item.
        queries: float32 [batch, M, D].
        interests: float32 [batch, K, D], which the queries are made of: themselves or, for
            M = 1 < K, their sum, weighted.
        weights: float32 [batch, K], of the interests.
        attention: float32 [batch, n, K], the share of each place of the history in each interest;
            0 for what is no item, or older than the newest L.
    """

    history: tf.Tensor
    queries: tf.Tensor
    interests: tf.Tensor
    weights: tf.Tensor
    attention: tf.Tensor

    @property
    def unknown(self) -> tf.Tensor:
        """bool [batch, 1]: whose history has no item."""
        return tf.reduce_all(self.history == 0, axis=1, keepdims=True)


class Tower(tf.Module):
    """The user tower, with the ids of the log for its input.

    Args:
        recommender: Whose tower.
        vocabulary: The catalogue's ids.

    Attributes:
        inputs: Type and shape of each of its inputs.
        num_interests: K.
    """

    def __init__(self, recommender: Recommender, vocabulary: Vocabulary):
        super().__init__()
        tower = recommender.system.user_tower
        # Behind a function, for TensorFlow would save a Keras model's own functions too.
        self._call = lambda inputs: tower(inputs, training=False)
        self._variables = [variable.value for variable in tower.variables]
        self._vocabulary = vocabulary
        self._length = recommender.settings.model.history_length
        types = {"history": vocabulary.dtype, "times": tf.int64}
        self.inputs = {
            tensor.name: tf.TensorSpec([None, None], types[tensor.name]) for tensor in tower.inputs
        }
        self.num_interests = tower.output["interest_weights"].shape[1]

    def __call__(self, inputs: Tensors) -> Users:
        """Reads the histories.

        Args:
            inputs: `history`, ids [batch, n], and what else the tower takes, [batch, n].
        """
        history = self._vocabulary.indices(inputs["history"])
        newest = Newest(history, self._length)
        inputs = inputs | {"history": history}
        outputs = self._call({name: newest.of(inputs[name]) for name in self.inputs})
        return Users(
            history,
            outputs["query_vectors"],
            outputs["interests"],
            outputs["interest_weights"],
            newest.back(outputs["attention"]),
        )
