"""What a training step must compute and move, how fast the machine does that, and the step.

python -m benchmarks.floor [--systems '[comirec, timirec]'] [--items 12101] [--batch 256]

The products are those of the graph of the loss and its gradients, each with its shape. Two limits
follow: one from the machine's rate in a large product, and one from the time that TensorFlow takes
for each of these very products; to both comes the time that memory takes for what Adam reads and
writes. What is counted as nothing: everything else, such as softmaxes, gates and Python.
"""

import time
from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from jsonargparse import auto_cli

from tfrs_timirec.config import TrainingSettings, settings_named
from tfrs_timirec.errors import run_command
from tfrs_timirec.models.base import SequentialRecommender
from tfrs_timirec.models.systems import SYSTEMS
from tfrs_timirec.training.optimizers import RULES
from tfrs_timirec.training.step import STEPS
from tfrs_timirec.training.workers import ALONE

COLUMNS = (
    *("system", "phase", "unit", "operations a target", "bytes a target"),
    *("limit by a large product, targets/s", "by its own products", "measured", "share"),
)


class Product(NamedTuple):
    """[batch, m, k] times [batch, k, n]."""

    batch: int
    m: int
    k: int
    n: int

    @property
    def operations(self) -> int:
        """A multiplication with an addition is two."""
        return 2 * self.batch * self.m * self.k * self.n


ITEMS = ("history", "positive", "negative")
LARGE = Product(1, 1024, 1024, 1024)


@dataclass
class Floor:
    """What a step needs: operations, bytes, and seconds by either limit."""

    operations: int
    bytes: int
    seconds_large: float
    seconds: float


def floor(model: SequentialRecommender, inputs: dict[str, np.ndarray], optimizer: str) -> Floor:
    """The floor of a step.

    Args:
        model: What is trained.
        inputs: Those of the step.
        optimizer: `adam`, or one that changes only what is touched.
    """
    found = products(model, inputs)
    operations = sum(product.operations * count for product, count in found.items())
    touched = np.unique(np.concatenate([inputs[name].ravel() for name in ITEMS]))
    tables, rule = {table.path for table in model.tables}, RULES.get(optimizer)
    kept = read = 0
    for weight in model.state.values():
        if weight.path in tables:
            read += weight.shape[1] * len(touched)
        if weight.path in tables and rule:
            size = weight.shape[1]
            kept += len(touched) * (size + len(rule.slots) * rule.width(size))
        elif weight.trainable:
            # With Adam's two moments.
            kept += 3 * int(np.prod(weight.shape))
    moved = 4 * (2 * kept + read)
    memory = moved / bandwidth(kept)
    return Floor(
        operations,
        moved,
        operations / rate(LARGE) + memory,
        sum(product.operations / rate(product) * count for product, count in found.items())
        + memory,
    )


def products(model: SequentialRecommender, inputs: dict[str, np.ndarray]) -> Counter[Product]:
    """The products of a loss and its gradients, and how often each comes.

    Args:
        model: What is trained.
        inputs: Of `compute_loss`; their shapes count.
    """
    weights = [weight.value for weight in model.state.values() if weight.trainable]

    def gradients(inputs):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model.compute_loss(inputs, training=True))
        return tape.gradient(loss, weights)

    specs = {name: tf.TensorSpec(value.shape, value.dtype) for name, value in inputs.items()}
    graph = tf.function(gradients, autograph=False).get_concrete_function(specs).graph
    # The only loops are over the items of a history.
    return _products_of(graph, inputs["history"].shape[1])


def _products_of(graph: tf.Graph, length: int) -> Counter[Product]:
    found = Counter()
    for operation in _needed(graph):
        if operation.type in ("MatMul", "BatchMatMulV2", "Einsum"):
            found[_product_of(operation)] += 1
        for name, times in (("body", length), ("f", 1)):
            if name in operation.node_def.attr:
                inside = graph._get_function(operation.get_attr(name).name).graph
                for product, count in _products_of(inside, length).items():
                    found[product] += count * times
    return found


def _needed(graph: tf.Graph) -> set[tf.Operation]:
    """The operations that the outputs hang on: layers leave others, which are never run."""
    needed: set[tf.Operation] = set()
    left = [output.op for output in graph.outputs]
    while left:
        operation = left.pop()
        if operation not in needed:
            needed.add(operation)
            left += [*(tensor.op for tensor in operation.inputs), *operation.control_inputs]
    return needed


def _product_of(operation: tf.Operation) -> Product:
    first, second = (tensor.shape.as_list() for tensor in operation.inputs)
    if operation.type == "Einsum":
        inputs, output = operation.get_attr("equation").decode().split("->")
        one, other = inputs.split(",")
        sizes = {"batch": 1, "m": 1, "k": 1, "n": 1}
        for label, size in dict(zip(one + other, [*first, *second], strict=True)).items():
            if label in one and label in other:
                sizes["batch" if label in output else "k"] *= size
            else:
                sizes["m" if label in one else "n"] *= size
        return Product(**sizes)
    adjoint = "transpose" if operation.type == "MatMul" else "adj"
    ends = ("a", "b") if operation.type == "MatMul" else ("x", "y")
    flipped = [operation.get_attr(f"{adjoint}_{end}") for end in ends]
    m, k = first[-2:][::-1] if flipped[0] else first[-2:]
    n = second[-2] if flipped[1] else second[-1]
    return Product(int(np.prod(first[:-2])), m, k, n)


@cache
def rate(product: Product) -> float:
    """Operations a second that TensorFlow makes of a product, on all cores."""
    if product.batch > 1:
        # Its kernel for many small ones is no limit: XLA is several times faster.
        product = LARGE
    rng = np.random.default_rng(0)
    one = tf.constant(rng.standard_normal((product.m, product.k), np.float32))
    other = tf.constant(rng.standard_normal((product.k, product.n), np.float32))
    # The call itself takes longer than a small product.
    return product.operations / max(_seconds(tf.matmul, one, other) - _call_seconds(), 1e-7)


@cache
def _call_seconds() -> float:
    return _seconds(tf.matmul, tf.zeros([1, 1]), tf.zeros([1, 1]))


@cache
def bandwidth(numbers: int) -> float:
    """Bytes a second of an addition in place, where both arrays together have as many numbers."""
    kept, added = tf.Variable(tf.zeros([numbers // 2])), tf.ones([numbers // 2])
    add = tf.function(lambda: kept.assign_add(added), autograph=False)
    return 12 * (numbers // 2) / _seconds(add)


def _seconds(call, *arguments, least: float = 0.2) -> float:
    """The time of a call, the shortest of at least five, after one that compiles."""
    call(*arguments)
    times: list[float] = []
    while len(times) < 5 or sum(times) < least:
        began = time.perf_counter()
        call(*arguments)
        times.append(time.perf_counter() - began)
    return min(times)


def step_seconds(model, inputs: dict[str, np.ndarray], optimizer: str) -> float:
    """The time of a training step of the same targets again and again."""
    step = STEPS[optimizer](model, TrainingSettings(optimizer=optimizer), 1000, ALONE)
    return _seconds(step, inputs, least=1.0)


def generated(model, unit: str, size: int, length: int, items: int) -> dict[str, np.ndarray]:
    """A generated batch of full histories; popular items come more often."""
    rng = np.random.default_rng(0)
    rows = size if unit == "instance" else size // length

    def drawn(*shape):
        return (rng.random(shape) ** 3 * items).astype(np.int32) + 1

    targets = (rows,) if unit == "instance" else (rows, length)
    inputs = {
        "history": drawn(rows, length),
        "positive": drawn(*targets),
        "negative": rng.integers(1, items + 1, targets, np.int32),
        "weight": np.ones(targets, np.float32),
    }
    if "times" in model.tower_inputs:
        inputs["times"] = rng.integers(0, 10**6, (rows, length)).cumsum(axis=1)
    return inputs


def main(
    systems: list[str] = list(SYSTEMS),  # noqa: B006
    items: int = 12_101,
    batch: int = 256,
    length: int = 20,
    optimizer: str = "adam",
) -> None:
    """Measures and prints a Markdown table.

    Args:
        systems: Their names.
        items: Of the catalogue.
        batch: Targets a step.
        length: L.
        optimizer: The step's.
    """
    run_command(lambda: measure(systems, items, batch, length, optimizer))


def measure(systems: list[str], items: int, size: int, length: int, optimizer: str) -> None:
    tf.config.experimental.enable_op_determinism()
    tf.get_logger().setLevel("ERROR")
    print(f"A large product: {rate(LARGE) / 1e9:.0f} GFLOP/s")
    print(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|")
    for name in systems:
        settings = settings_named(name, {"history_length": length}).model
        system = SYSTEMS[name].create(items, settings, 0.01, 0)
        for phase, model in enumerate(system.phases(), 1):
            for unit in ("instance", "user"):
                inputs = generated(model, unit, size, length, items)
                targets = inputs["weight"].size
                least = floor(model, inputs, optimizer)
                took = step_seconds(model, inputs, optimizer)
                cells = [name, str(phase), unit]
                cells += [f"{count / targets:,.0f}" for count in (least.operations, least.bytes)]
                cells += [f"{targets / x:,.0f}" for x in (least.seconds_large, least.seconds, took)]
                print(f"| {' | '.join(cells)} | {least.seconds / took:.0%} |", flush=True)


if __name__ == "__main__":
    auto_cli(main, as_positional=True)
