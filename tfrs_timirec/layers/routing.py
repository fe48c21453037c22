"""Dynamic routing of a history's items to interests."""

import keras
from keras import ops

from tfrs_timirec.layers.masked import masked_softmax
from tfrs_timirec.layers.position import check_length, distance_to_end, real_items


@keras.saving.register_keras_serializable("tfrs_timirec")
class DynamicRouting(keras.layers.Layer):
    """K interest vectors from a history, as the capsules to which its items are routed.

    With one bilinear matrix S for all pairs and logits B that begin random, each iteration
    computes w = softmax over interests of b_i, z_k = Σ_i w_ik · S e_i, V_k = squash(z_k) =
    ‖z_k‖² / (1 + ‖z_k‖²) · z_k / ‖z_k‖ and b_ik ← b_ik + V_k · S e_i. (MIND, Li et al., CIKM 2019,
    section 4.3, algorithm 1; K is the same for all users.) As is usual, only the last iteration
    passes a gradient on.

    In training B is drawn anew at each call. Otherwise it is a table drawn once, by the item's
    distance to the end of the history, so that the same history always has the same interests.
    Padding is routed nowhere; a history of padding alone has zero vectors.

    Args:
        num_interests: K.
        max_length: L, the longest history.
        iterations: Of the routing.
        kernel_initializer: Initializer of S.
        seed: Of the logits B.
        return_attention: Whether what each item contributes to each interest is returned as well.

    Call arguments:
        inputs: float [batch, n, D], the embeddings of the items; n <= L.
        mask: bool [batch, n], true at items; `Embedding(mask_zero=True)` passes it on.
        training: Whether B is drawn anew.

    Returns:
        float [batch, K, D], the interests, each shorter than 1. With `return_attention` the pair of
        them and float [batch, n, K], w_ik / Σ_j w_jk of the last iteration: it sums to 1 over the
        positions, 0 for a history of padding alone; 0 at padding.

    Raises:
        ValueError: If K, L or the number of iterations is less than 1, or n is larger than L.

    Example:

        items = keras.layers.Embedding(1000, 64, mask_zero=True)(history)
        interests = DynamicRouting(num_interests=4)(items)
        interests, attention = DynamicRouting(4, return_attention=True)(items)
    """

    def __init__(
        self,
        num_interests: int,
        max_length: int = 20,
        iterations: int = 3,
        kernel_initializer="glorot_uniform",
        seed: int | None = None,
        return_attention: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        for name, value in (
            ("num_interests", num_interests),
            ("max_length", max_length),
            ("iterations", iterations),
        ):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}.")
        self.num_interests = num_interests
        self.max_length = max_length
        self.iterations = iterations
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.seed = seed
        self.return_attention = return_attention
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape):
        self.bilinear = self.add_weight(
            shape=(input_shape[-1], input_shape[-1]),
            initializer=self.kernel_initializer,
            name="bilinear",
        )
        self.initial_logits = self.add_weight(
            shape=(self.max_length + 1, self.num_interests),
            initializer=keras.initializers.RandomNormal(stddev=1.0, seed=self.seed),
            trainable=False,
            name="initial_logits",
        )

    def call(self, inputs, mask=None, training=False):
        check_length(inputs, self.max_length)
        mask = real_items(inputs, mask)
        items = ops.matmul(inputs, self.bilinear)
        if training:
            shape = (*ops.shape(inputs)[:-1], self.num_interests)
            logits = keras.random.normal(shape, dtype=inputs.dtype, seed=self.seed_generator)
        else:
            logits = ops.take(self.initial_logits, distance_to_end(mask), axis=0)

        def interests(logits, items):
            weights = ops.softmax(logits) * ops.cast(mask, items.dtype)[..., None]
            return _squash(ops.matmul(ops.swapaxes(weights, 1, 2), items))

        fixed = ops.stop_gradient(items)
        for _ in range(self.iterations - 1):
            agreement = ops.matmul(fixed, ops.swapaxes(interests(logits, fixed), 1, 2))
            logits = logits + agreement
        routed = interests(logits, items)
        if not self.return_attention:
            return routed
        # As a softmax of log w, for all of an interest's weights may round to 0.
        real = mask[..., None]
        attention = masked_softmax(ops.log_softmax(logits), real, axis=1)
        return routed, attention * ops.cast(real, attention.dtype)

    def compute_mask(self, inputs, mask=None):
        return None

    def compute_output_shape(self, input_shape):
        interests = (input_shape[0], self.num_interests, input_shape[-1])
        attention = (*input_shape[:-1], self.num_interests)
        return (interests, attention) if self.return_attention else interests

    def get_config(self):
        return {
            **super().get_config(),
            "num_interests": self.num_interests,
            "max_length": self.max_length,
            "iterations": self.iterations,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "seed": self.seed,
            "return_attention": self.return_attention,
        }


def _squash(z):
    """The same direction, with a length from 0 to 1."""
    squared = ops.sum(z**2, axis=-1, keepdims=True)
    # The constant keeps the gradient of a zero vector finite; in float16 a smaller one would be 0.
    least = 6e-8 if keras.backend.standardize_dtype(z.dtype) == "float16" else 1e-9
    return z * squared / (1 + squared) / ops.sqrt(squared + least)
