"""The target-interest predictor."""

import keras


@keras.saving.register_keras_serializable("tfrs_timirec")
class InterestPredictor(keras.layers.Layer):
    """Predicts from a history which of the K interests drives the next action.

    z = MLP(GRU(H')), the MLP with ReLU between its layers. (TiMiRec, CIKM 2022, eqs. 3, 14, 15.)

    Args:
        num_interests: K.
        num_layers: Dense layers of the MLP, the last one (to K) included.
        dropout: Share of the activations dropped in training, after each layer but the last.
        kernel_initializer: Initializer of all matrices.

    Call arguments:
        inputs: float [batch, n, D], embeddings of the items, from a table of the predictor's own.
        mask: bool [batch, n], true at items; `Embedding(mask_zero=True)` passes it on.
        training: Whether dropout is active.

    Returns:
        float [batch, K], the logits z.

    Raises:
        ValueError: If K or the number of layers is less than 1.

    Example:

        items = keras.layers.Embedding(1000, 64, mask_zero=True)(history)
        logits = InterestPredictor(num_interests=4)(items)
    """

    def __init__(
        self,
        num_interests: int,
        num_layers: int = 1,
        dropout: float = 0.0,
        kernel_initializer="glorot_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if num_interests < 1:
            raise ValueError(f"num_interests must be at least 1, got {num_interests}.")
        if num_layers < 1:
            raise ValueError(f"num_layers must be at least 1, got {num_layers}.")
        self.num_interests = num_interests
        self.num_layers = num_layers
        self.dropout = dropout
        self.kernel_initializer = kernel_initializer

    def build(self, input_shape):
        width = input_shape[-1]
        self.gru = keras.layers.GRU(
            width,
            kernel_initializer=self.kernel_initializer,
            recurrent_initializer=self.kernel_initializer,
            return_sequences=True,
            return_state=True,
            name="gru",
            dtype=self.dtype_policy,
        )
        self.gru.build(input_shape)
        self.hidden = [
            keras.layers.Dense(
                width,
                "relu",
                kernel_initializer=self.kernel_initializer,
                name=f"hidden_{i}",
                dtype=self.dtype_policy,
            )
            for i in range(self.num_layers - 1)
        ]
        self.logits = keras.layers.Dense(
            self.num_interests,
            kernel_initializer=self.kernel_initializer,
            name="logits",
            dtype=self.dtype_policy,
        )
        self.drop = keras.layers.Dropout(self.dropout, name="drop", dtype=self.dtype_policy)
        for layer in [*self.hidden, self.logits]:
            layer.build((input_shape[0], width))

    def call(self, inputs, mask=None, training=False):
        _, state = self.gru(inputs, mask=mask)
        return self._of_states(state, training)

    def of_prefixes(self, inputs, training=False):
        """The logits after each item of a history, in one pass.

        Args:
            inputs: float [batch, n, D], as for the layer, padding on the right.
            training: Whether dropout is active.

        Returns:
            float [batch, n, K]: at t what the layer gives for the items up to t.
        """
        states, _ = self.gru(inputs)
        return self._of_states(states, training)

    def _of_states(self, x, training):
        for layer in self.hidden:
            x = self.drop(layer(x), training=training)
        return self.logits(x)

    def compute_mask(self, inputs, mask=None):
        return None

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.num_interests)

    def get_config(self):
        return {
            **super().get_config(),
            "num_interests": self.num_interests,
            "num_layers": self.num_layers,
            "dropout": self.dropout,
            "kernel_initializer": keras.initializers.serialize(
                keras.initializers.get(self.kernel_initializer)
            ),
        }
