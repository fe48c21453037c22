"""What every recommender of this package is."""

from typing import ClassVar

import keras
import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfrs_timirec.config import ModelSettings
from tfrs_timirec.models.losses import best_interest
from tfrs_timirec.models.objective import Objective


class SequentialRecommender(tfrs.Model):
    """A user's history becomes M query vectors, an item one vector; a score is a dot product.

    The score of an item is the maximum over its M dot products with the query vectors. A
    subclass sets `title` and `items`, and writes `keras_layers` and `query_vectors`; evaluation,
    export and retrieval are written against this class alone.

    Attributes:
        title: The system's name in tables.
        uses: The fields of `ModelSettings` that it reads and not all systems do.
        needs_times: Whether `query_vectors` and `compute_loss` take the times of the history.

    Args:
        num_items: Items of the catalogue; they have the indices 1 to `num_items`; 0 is padding.
        settings: The model's shape and its objective.
        initial_stddev: Standard deviation of the normal distribution of the initial weights.
        seed: Of the initial weights; layers built by a subclass draw theirs from `initializer`.
    """

    title: str
    uses: ClassVar[tuple[str, ...]] = ()
    needs_times: ClassVar[bool] = False

    def __init__(self, num_items: int, settings: ModelSettings, initial_stddev: float, seed: int):
        super().__init__()
        self.num_items = num_items
        self.embedding_size = settings.embedding_size
        self.objective = Objective(settings)
        # A generator, not a number: with a number all weights of one shape would be equal.
        self.initializer = keras.initializers.RandomNormal(
            stddev=initial_stddev, seed=keras.random.SeedGenerator(seed)
        )

    def embedding_table(self, name: str) -> keras.layers.Embedding:
        """A table of one vector an item, with a row for padding, which is masked."""
        table = keras.layers.Embedding(
            self.num_items + 1,
            self.embedding_size,
            embeddings_initializer=self.initializer,
            mask_zero=True,
            name=name,
        )
        table.build()
        return table

    @property
    def keras_layers(self) -> list[keras.layers.Layer]:
        """The Keras 3 layers that hold the weights, in a fixed order."""
        raise NotImplementedError

    @property
    def state(self) -> dict[str, keras.Variable]:
        """All that training changes, under names that are the same in each process."""
        state = {}
        for layer in self.keras_layers:
            weights = {weight.path: weight for weight in layer.weights}
            state |= weights
            # Keras numbers the generators of chance by what the process has built before.
            seeds = [v for v in layer.non_trainable_variables if v.path not in weights]
            state |= {f"{layer.name}/seed_{i}": seed for i, seed in enumerate(seeds)}
        return state

    def query_vectors(self, history: tf.Tensor, training: bool = False) -> tf.Tensor:
        """The user's query vectors.

        A system that `needs_times` has `times` as its second argument: int64 [batch, n], when each
        item was interacted with.

        Args:
            history: int32 [batch, n], item indices, oldest first, 0 after the newest.
            training: Whether chance, such as dropout, is active.

        Returns:
            float32 [batch, M, D].
        """
        raise NotImplementedError

    def queries_and_weights(self, *history: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The query vectors and what each interest weighs in them.

        Args:
            history: What `query_vectors` takes.

        Returns:
            float32 [batch, M, D] and float32 [batch, K]; a model that weighs nothing gives
            each of its M vectors the same weight.
        """
        queries = self.query_vectors(*history)
        return queries, tf.fill(tf.shape(queries)[:2], 1 / queries.shape[1])

    def interest_vectors(self, *history: tf.Tensor) -> tf.Tensor:
        """What `query_vectors` is made of: float32 [batch, K, D]; by default, itself."""
        return self.query_vectors(*history)

    def compute_loss(self, inputs: dict[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """The objective with the query vector that matches the target best (eq. 2).

        Args:
            inputs: `history` int32 [batch, n], `positive` and `negative` int32 [batch]; with
                `needs_times` also `times` int64 [batch, n].
            training: Whether chance, such as dropout, is active.

        Returns:
            float32 [batch], a loss an instance.
        """
        history = [inputs["history"], *([inputs["times"]] if self.needs_times else [])]
        queries = self.query_vectors(*history, training=training)
        positive = self.items(inputs["positive"])
        query = self.choose_query(queries, positive)
        return self.objective(query, inputs["positive"], inputs["negative"], self.items)

    def choose_query(self, queries: tf.Tensor, positive: tf.Tensor) -> tf.Tensor:
        """What of the query vectors [batch, M, D] learns from the target [batch, D]: [batch, D]."""
        return best_interest(queries, positive)

    def item_vectors(self) -> tf.Tensor:
        """The catalogue: float32 [items, D]; row i is the item with index i + 1."""
        return self.items.embeddings.value[1:]

    def phases(self) -> list["SequentialRecommender"]:
        """The models to train to convergence, one after the other; the last one is the whole."""
        return [self]
