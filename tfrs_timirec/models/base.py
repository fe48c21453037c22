"""What every recommender of this package is."""

import warnings
from collections.abc import Callable
from typing import ClassVar

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from tfrs_timirec.models.losses import best_interest
from tfrs_timirec.models.objective import Objective
from tfrs_timirec.models.settings import ModelSettings
from tfrs_timirec.tfrs import tfrs

# One interest, or a batch of histories of one item, is nothing to warn of.
warnings.filterwarnings("ignore", "You are using a softmax over axis .* has size 1")


class SequentialRecommender(tfrs.Model):
    """A user's history becomes M query vectors, an item one vector; a score is a dot product.

    The score of an item is the maximum over its M dot products with the query vectors. What
    computes the query vectors is the user tower, a Keras 3 model; training, evaluation, retrieval
    and export call the same one. A subclass writes `settings_type`, `title` and `build_tower`,
    and `losses` if its loss is another one.

    The tower takes by name `history`, int32 [batch, n], item indices, oldest first, 0 after the
    newest, and, where the system reads them, `times`, int64 [batch, n], when each item was
    interacted with. It gives by name `query_vectors` float32 [batch, M, D], `interests` float32
    [batch, K, D], what these are made of, `interest_weights` float32 [batch, K], what each
    weighs, and `attention` float32 [batch, n, K], the share that each item of the history has in
    each interest. Its layer `items` holds the item vectors, row 0 for padding.

    Args:
        user_tower: The user tower.
        settings: What it was built with.

    Attributes:
        settings_type: The dataclass of the system's settings.
        item_tables: How many tables of vectors of `embedding_size` numbers it has.
        initial_stddev: Standard deviation of the initial weights, where none is asked for.
        learns: What its training is for, as the end of a sentence.
        user_tower: The user tower.
        items: The tower's layer of item vectors.
        teacher: Tells the probability of each item to follow histories, from which it learns beside
            the targets; None without such.
    """

    settings_type: ClassVar[type[ModelSettings]]
    item_tables: ClassVar[int] = 1
    initial_stddev: ClassVar[float] = 0.01
    learns: ClassVar[str] = "the vectors of users and items"

    def __init__(self, user_tower: keras.Model, settings: ModelSettings):
        super().__init__()
        self.user_tower = user_tower
        self.settings = settings
        self.objective = Objective(settings)
        self.items = user_tower.get_layer("items")
        self.teacher: Callable[[dict[str, tf.Tensor], bool], tf.Tensor] | None = None

    @classmethod
    def create(
        cls, num_items: int, settings: ModelSettings, initial_stddev: float | None, seed: int
    ) -> "SequentialRecommender":
        """An untrained recommender.

        Args:
            num_items: Items of the catalogue; they have the indices 1 to `num_items`.
            settings: Of the system.
            initial_stddev: Standard deviation of the normal distribution of the initial weights;
                None for the system's own.
            seed: Of the initial weights.
        """
        # A generator, not a number: with a number all weights of one shape would be equal.
        initializer = keras.initializers.RandomNormal(
            stddev=initial_stddev or cls.initial_stddev, seed=keras.random.SeedGenerator(seed)
        )
        return cls(cls.build_tower(num_items, settings, initializer, seed), settings)

    @classmethod
    def build_tower(
        cls,
        num_items: int,
        settings: ModelSettings,
        initializer: keras.initializers.Initializer,
        seed: int,
    ) -> keras.Model:
        """An untrained user tower.

        Args:
            num_items: Items of the catalogue.
            settings: Of the system.
            initializer: Of all weights that are drawn.
            seed: Of everything else that is drawn.
        """
        raise NotImplementedError

    @property
    def title(self) -> str:
        """The system's name in tables."""
        raise NotImplementedError

    @property
    def num_items(self) -> int:
        """Items of the catalogue."""
        return self.items.input_dim - 1

    @property
    def tables(self) -> list[keras.Variable]:
        """The tables with a row for each item."""
        layers = [layer for layer in self.user_tower.layers if hasattr(layer, "embeddings")]
        return [layer.embeddings for layer in layers if layer.input_dim == self.items.input_dim]

    @property
    def tower_inputs(self) -> list[str]:
        """What the tower reads: `history` and perhaps `times`."""
        return [tensor.name for tensor in self.user_tower.inputs]

    @property
    def state(self) -> dict[str, keras.Variable]:
        """All that training changes, under names that are the same in each process."""
        weights = {weight.path: weight for weight in self.user_tower.weights}
        # Keras numbers the generators of chance by what the process has built before.
        seeds = [v for v in self.user_tower.non_trainable_variables if v.path not in weights]
        return weights | {f"seed_{i}": seed for i, seed in enumerate(seeds)}

    def learn_counts(self, counts: np.ndarray) -> None:
        """Takes note of the counts of the items, int64 [items]; most systems have no use for it."""

    def represent(
        self, inputs: dict[str, tf.Tensor], training: bool = False
    ) -> dict[str, tf.Tensor]:
        """What the tower gives.

        Args:
            inputs: What it takes; other keys are ignored.
            training: Whether chance, such as dropout, is active.
        """
        taken = {name: inputs[name] for name in self.tower_inputs}
        return self.user_tower(taken, training=training)

    def represent_for_loss(
        self, inputs: dict[str, tf.Tensor], training: bool = False
    ) -> dict[str, tf.Tensor]:
        """What `losses` takes: as `represent`, and perhaps more."""
        return self.represent(inputs, training)

    def represent_prefixes(
        self, inputs: dict[str, tf.Tensor], training: bool = False
    ) -> dict[str, tf.Tensor]:
        """What the tower gives for each beginning of the histories.

        Here each is computed by itself; a system that can do it in one pass overrides it.

        Args:
            inputs: What the tower takes, padding on the right; other keys are ignored.
            training: Whether chance, such as dropout, is active.

        Returns:
            As `represent_for_loss`, of batch · n histories: those of the first row with 1, 2, … n
            items, those of the second, and so on; no more than `losses` takes.
        """
        n = inputs["history"].shape[1]
        seen = ops.tril(ops.ones((n, n), dtype="int32"))
        prefixes = {
            name: ops.reshape(inputs[name][:, None] * ops.cast(seen, inputs[name].dtype), (-1, n))
            for name in self.tower_inputs
        }
        return self.represent_for_loss(prefixes, training)

    def query_vectors(self, inputs: dict[str, tf.Tensor]) -> tf.Tensor:
        """The user's query vectors: float32 [batch, M, D]."""
        return self.represent(inputs)["query_vectors"]

    def item_vectors(self) -> tf.Tensor:
        """The catalogue: float32 [items, D]; row i is the item with index i + 1."""
        return self.items.embeddings.value[1:]

    def compute_loss(self, inputs: dict[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """The loss of each target.

        Args:
            inputs: What the tower takes, and `positive` and `negative`, int32 [batch], of targets
                that follow the histories, or int32 [batch, n], of targets that follow each item.
            training: Whether chance, such as dropout, is active.

        Returns:
            float32, of the shape of `positive`.
        """
        positive, negative = (ops.reshape(inputs[name], (-1,)) for name in ("positive", "negative"))
        follows_each = len(inputs["positive"].shape) > 1
        represent = self.represent_prefixes if follows_each else self.represent_for_loss
        # The layers may compute in a lower precision; a loss is a sum of small differences.
        outputs = {k: ops.cast(v, "float32") for k, v in represent(inputs, training).items()}
        if self.teacher:
            outputs["taught"] = self.teacher(inputs, follows_each)
        losses = self.losses(outputs, positive, negative)
        return ops.reshape(losses, ops.shape(inputs["positive"]))

    def losses(
        self, outputs: dict[str, tf.Tensor], positive: tf.Tensor, negative: tf.Tensor
    ) -> tf.Tensor:
        """The objective with the query vector that matches the target best (eq. 2).

        Args:
            outputs: What `represent_for_loss` gives, and `taught` of a teacher.
            positive: int32 [batch], the targets.
            negative: int32 [batch], an item to tell each from.

        Returns:
            float32 [batch].
        """
        target = ops.cast(self.items(positive), "float32")
        query = self.choose_query(outputs["query_vectors"], target)
        return self.objective(query, positive, negative, self.items, outputs.get("taught"))

    def choose_query(self, queries: tf.Tensor, positive: tf.Tensor) -> tf.Tensor:
        """What of the query vectors [batch, M, D] learns from the target [batch, D]: [batch, D]."""
        return best_interest(queries, positive)

    @classmethod
    def first_phase(cls, settings: ModelSettings) -> ModelSettings | None:
        """The settings of the system that the first of several phases trains; None without such.

        Args:
            settings: Of the whole.
        """
        return None

    def phases(self) -> list["SequentialRecommender"]:
        """The models to train to convergence, one after the other; the last one is the whole."""
        return [self]

    def save(self, *args, **kwargs) -> None:
        """Refuses: a `tfrs.Model` does not know of Keras 3 layers, and would save no weights.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError("Save the Keras model: system.user_tower.save('tower.keras').")


def history_input() -> keras.KerasTensor:
    """The input `history`: int32 [batch, n]."""
    return keras.Input((None,), dtype="int32", name="history")


def item_table(
    num_items: int, size: int, initializer: keras.initializers.Initializer, name: str = "items"
) -> keras.layers.Embedding:
    """A table of one vector per item, with a row for padding, which is masked.

    Args:
        num_items: Items of the catalogue.
        size: D.
        initializer: Of the table.
        name: Of the layer.
    """
    return keras.layers.Embedding(
        num_items + 1, size, embeddings_initializer=initializer, mask_zero=True, name=name
    )


def tower_of_interests(inputs: dict, interests, attention) -> keras.Model:
    """The tower of a system whose query vectors are its interests, each as good as the others.

    Args:
        inputs: By name.
        interests: [batch, K, D].
        attention: [batch, n, K].
    """
    outputs = {
        "query_vectors": interests,
        "interests": interests,
        "interest_weights": ops.full_like(interests[:, :, 0], 1 / interests.shape[1]),
        "attention": attention,
    }
    return keras.Model(inputs, outputs, name="user_tower")


def tower_of_one(inputs: dict, query, attention) -> keras.Model:
    """The tower of a system with one query vector.

    Args:
        inputs: By name.
        query: [batch, D].
        attention: [batch, n].
    """
    return tower_of_interests(inputs, ops.expand_dims(query, 1), ops.expand_dims(attention, 2))
