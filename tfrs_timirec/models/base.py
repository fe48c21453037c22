"""What every recommender of this package is."""

import keras
import tensorflow as tf
import tensorflow_recommenders as tfrs


class SequentialRecommender(tfrs.Model):
    """A user's history becomes M query vectors, an item one vector; a score is a dot product.

    The score of an item is the maximum over its M dot products with the query vectors. A
    subclass sets `items` and writes `query_vectors` and `compute_loss`; evaluation, export and
    retrieval are written against this class alone.

    Args:
        num_items: Items of the catalogue; they have the indices 1 to `num_items`; 0 is padding.
        embedding_size: D.
        initial_stddev: Standard deviation of the normal distribution of the initial weights.
        seed: Of the initial weights; layers built by a subclass draw theirs from `initializer`.
    """

    def __init__(self, num_items: int, embedding_size: int, initial_stddev: float, seed: int):
        super().__init__()
        self.num_items = num_items
        self.embedding_size = embedding_size
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
            state |= {weight.path: weight for weight in layer.weights}
            # Keras numbers the generators of dropout by what the process has built before.
            seeds = layer.non_trainable_variables
            state |= {f"{layer.name}/seed_{i}": seed for i, seed in enumerate(seeds)}
        return state

    def query_vectors(self, history: tf.Tensor) -> tf.Tensor:
        """The user's query vectors.

        Args:
            history: int32 [batch, n], item indices, oldest first, 0 after the newest.

        Returns:
            float32 [batch, M, D].
        """
        raise NotImplementedError

    def queries_and_weights(self, history: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The query vectors and what each interest weighs in them.

        Args:
            history: As for `query_vectors`.

        Returns:
            float32 [batch, M, D] and float32 [batch, K]; a model that weighs nothing gives
            each of its M vectors the same weight.
        """
        queries = self.query_vectors(history)
        return queries, tf.fill(tf.shape(queries)[:2], 1 / queries.shape[1])

    def item_vectors(self) -> tf.Tensor:
        """The catalogue: float32 [items, D]; row i is the item with index i + 1."""
        return self.items.embeddings.value[1:]

    def phases(self) -> list["SequentialRecommender"]:
        """The models to train to convergence, one after the other; the last one is the whole."""
        return [self]
