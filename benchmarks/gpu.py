"""Measures a device: training steps of TiMiRec's layers and exact search, beside what it allows.

KERAS_BACKEND=jax python -m benchmarks.gpu [--items 12101] [--catalogue 1000000] [--out FILE]

The layers and losses are this package's; what is around them is JAX's, so that it runs where
TensorFlow is not installed. A step is one of phase 2: forward, backward and dense Adam, its inputs
on the device already. The limits are those of the same device in the same process: a large matrix
product for the arithmetic, a copy for the bandwidth. The processor of the machine is the
alternative beside it.
"""

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import keras
import numpy as np
from jax import numpy as jnp
from keras import ops
from rich.console import Console
from rich.table import Table

from tfrs_timirec.layers import InterestAggregation, InterestPredictor, SelfAttentiveExtractor
from tfrs_timirec.models.losses import bpr_loss, distillation_loss, target_similarity

LENGTH, WIDTH, INTERESTS, INNER = 20, 64, 4, 8
BATCHES = (256, 1024, 4096, 16_384, 65_536)
USERS = (64, 256, 1024)
BEST = 100
TEMPERATURE = 0.1


class Step(keras.layers.Layer):
    """TiMiRec's loss in phase 2.

    Args:
        items: Of the catalogue.
    """

    def __init__(self, items: int, **kwargs):
        super().__init__(**kwargs)
        self.items, self.predictor_items = (
            keras.layers.Embedding(
                items + 1, WIDTH, mask_zero=True, name=name, dtype=self.dtype_policy
            )
            for name in ("items", "predictor_items")
        )
        self.extractor = SelfAttentiveExtractor(INTERESTS, INNER, dtype=self.dtype_policy)
        self.predictor = InterestPredictor(INTERESTS, dtype=self.dtype_policy)
        self.aggregation = InterestAggregation(dtype=self.dtype_policy)
        for table in (self.items, self.predictor_items):
            table.build(None)
        for layer in (self.extractor, self.predictor):
            layer.build((None, LENGTH, WIDTH))
        self.built = True

    def call(self, history, positive, negative):
        interests = self.extractor(self.items(history))
        logits = self.predictor(self.predictor_items(history))
        query = self.aggregation(interests, logits)
        target = self.items(positive)
        loss = bpr_loss(query, target, self.items(negative))
        similarity = target_similarity(interests, target)
        loss = loss + TEMPERATURE**2 * distillation_loss(similarity, logits, TEMPERATURE)
        return ops.mean(ops.cast(loss, "float32"))


def counted(items: int, batch: int) -> tuple[float, float]:
    """Operations and bytes of a step, from the layers' shapes.

    A multiplication with an addition is two operations; backward is twice forward. Bytes are those
    of dense Adam: weight, gradient and both moments are read, the gradient, the weight and the
    moments written, all in single precision; and the rows of the histories, read once and their
    gradients written.
    """
    gru = LENGTH * 2 * 3 * 2 * WIDTH * WIDTH
    extractor = LENGTH * 2 * (WIDTH * INNER + INNER * INTERESTS + INTERESTS * WIDTH)
    floats = 2 * (items + 1) * WIDTH
    rows = batch * (LENGTH * 2 + 2) * WIDTH
    return 3.0 * batch * (gru + extractor), 4.0 * (8 * floats + 2 * rows)


def seconds(call, *arguments, least: float = 0.5) -> float:
    """The time of a call, the median of at least five, after one that compiles."""
    jax.block_until_ready(call(*arguments))
    times: list[float] = []
    while len(times) < 5 or sum(times) < least:
        began = time.perf_counter()
        jax.block_until_ready(call(*arguments))
        times.append(time.perf_counter() - began)
    return float(np.median(times))


def step_seconds(items: int, batch: int, policy: str) -> float:
    """The time of one step; each goes on from the weights of the last."""
    keras.utils.set_random_seed(0)
    model = Step(items, dtype=policy)
    optimizer = keras.optimizers.Adam(1e-3, epsilon=1e-8)
    optimizer.build(model.trainable_variables)

    def loss_of(trainable, fixed, inputs):
        return model.stateless_call(trainable, fixed, *inputs)

    def step(state, inputs):
        trainable, fixed, slots = state
        (loss, fixed), gradients = jax.value_and_grad(loss_of, has_aux=True)(
            trainable, fixed, inputs
        )
        trainable, slots = optimizer.stateless_apply(slots, gradients, trainable)
        return (trainable, fixed, slots), loss

    rng = np.random.default_rng(0)
    shapes = ((batch, LENGTH), (batch,), (batch,))
    inputs = [jnp.asarray(rng.integers(1, items + 1, shape, np.int32)) for shape in shapes]
    state = (
        [variable.value for variable in model.trainable_variables],
        [variable.value for variable in model.non_trainable_variables],
        [variable.value for variable in optimizer.variables],
    )
    compiled = jax.jit(step, donate_argnums=0)

    def again(inputs):
        nonlocal state
        state, loss = compiled(state, inputs)
        return loss

    return seconds(again, inputs)


def search_seconds(catalogue: int, users: int, dtype: str) -> float:
    """The time of the best items of as many users, by all scores and a partial sort."""
    rng = np.random.default_rng(0)
    items = jnp.asarray(rng.normal(size=(catalogue, WIDTH)), dtype)
    queries = jnp.asarray(rng.normal(size=(users, WIDTH)), dtype)

    @jax.jit
    def best(queries, items):
        scores = jnp.matmul(queries, items.T, preferred_element_type=jnp.float32)
        return jax.lax.top_k(scores, BEST)

    return seconds(best, queries, items)


def limits(size: int) -> dict[str, float]:
    """Operations a second of a matrix product, and bytes a second of a copy."""
    matrix = jnp.asarray(np.random.default_rng(0).normal(size=(size, size)), "float32")
    half = matrix.astype("bfloat16")
    vector = jnp.zeros(2**26, "float32")
    operations = 2.0 * size**3
    copy = jax.jit(lambda x: x + 1)
    return {
        "float32": operations / seconds(jax.jit(jnp.matmul), matrix, matrix),
        "bfloat16": operations / seconds(jax.jit(jnp.matmul), half, half),
        "bytes": 2.0 * vector.nbytes / seconds(copy, vector),
    }


def measure(device, items: int, catalogue: int, batches, users, size: int) -> dict:
    """All figures of a device."""
    with jax.default_device(device):
        found = {"device": device.device_kind, "limits": limits(size), "steps": [], "searches": []}
        for policy in ("float32", "mixed_bfloat16"):
            for batch in batches:
                operations, moved = counted(items, batch)
                of = found["limits"]
                least = max(operations / of[policy.removeprefix("mixed_")], moved / of["bytes"])
                took = step_seconds(items, batch, policy)
                found["steps"].append(
                    {
                        "precision": policy,
                        "batch": batch,
                        "milliseconds": took * 1e3,
                        "instances_a_second": batch / took,
                        "share_of_the_limit": least / took,
                    }
                )
        for dtype in ("float32", "bfloat16"):
            for count in users:
                took = search_seconds(catalogue, count, dtype)
                found["searches"].append(
                    {"precision": dtype, "users": count, "users_a_second": count / took}
                )
    return found


def show(found: dict) -> None:
    of = found["limits"]
    title = (
        f"{found['device']}: {of['float32'] / 1e12:.2f} TFLOP/s, in bfloat16 "
        f"{of['bfloat16'] / 1e12:.2f}, {of['bytes'] / 1e9:,.0f} GB/s"
    )
    for name in ("steps", "searches"):
        table = Table(*found[name][0], title=title)
        for row in found[name]:
            table.add_row(*(f"{x:,.3g}" if isinstance(x, float) else str(x) for x in row.values()))
        Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--items", type=int, default=12_101, help="items in training")
    parser.add_argument("--catalogue", type=int, default=1_000_000, help="items that are searched")
    parser.add_argument("--out", type=Path, help="a JSON file of all figures")
    flags = parser.parse_args()
    accelerator, processor = jax.devices()[0], jax.devices("cpu")[0]
    found = []
    if accelerator != processor:
        found.append(measure(accelerator, flags.items, flags.catalogue, BATCHES, USERS, 8192))
        show(found[-1])
    found.append(measure(processor, flags.items, flags.catalogue, BATCHES[:2], USERS[:1], 2048))
    show(found[-1])
    if flags.out:
        flags.out.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
