"""Trains the groups of a plan with JAX, the trainings of a group all at once.

KERAS_BACKEND=jax python -m benchmarks.search FOLDER [--part 0/1] [--seconds 600]

Towers, layers and losses are this package's; what is around them is JAX's, so that it runs where
TensorFlow is not installed. The members of a group are a further axis of every array: a GPU takes
about as long for eight small trainings as for one. An epoch is one program. The best epoch by the
validation metric counts, and `FOLDER/results/NAME.json` has its figures; test figures are computed
only where the plan says so.
"""

import argparse
import itertools
import json
import os
import time
from functools import partial
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import keras
import numpy as np
from jax import numpy as jnp

import tfrs_timirec.layers  # noqa: F401 - Keras finds the layers of towers by their names.
from tfrs_timirec.models.losses import (
    best_interest,
    bpr_loss,
    distillation_loss,
    label_aware_interest,
    routing_variance,
    sampled_softmax_loss,
    softmax_loss,
    target_similarity,
)

CUTOFFS = (5, 10, 20)
USERS_A_BLOCK = 512
DRAWS = 8
WINDOWS = (
    "sasrec_deep",
    "esasrec",
    "hstu",
    "gru4rec",
    "comirec",
    "comirec_ligr",
    "timirec",
    "timirec_ligr",
)


class Log:
    """Sequences, split by leaving out each user's last two items."""

    def __init__(self, path: Path):
        with np.load(path) as kept:
            self.items, self.offsets = kept["items"], kept["offsets"]
            self.ends, self.num_items = kept["training_end"], int(kept["num_items"])
            self.negatives = kept["negatives"]
        self.users = len(self.ends)

    def rows(self, begin, end, width):
        """int32 [n, width], the items from `begin` to `end`, zeros after them."""
        index = begin[:, None] + np.arange(width)
        inside = index < end[:, None]
        return np.where(inside, self.items[np.where(inside, index, 0)], 0).astype(np.int32)

    def targets(self, length: int, windows: bool) -> dict[str, np.ndarray]:
        """Histories of training with what follows: each item of a window, or the last alone."""
        first = self.offsets[:-1]
        counts = np.maximum(self.ends - first - 1, 0)
        step = length if windows else 1
        number = -(-counts // step)
        users = np.repeat(np.arange(self.users), number)
        nth = np.arange(len(users)) - np.repeat(np.cumsum(number) - number, number)
        if windows:
            begin = first[users] + nth * length
            end = np.minimum(begin + length, self.ends[users] - 1)
            after = self.rows(begin + 1, end + 1, length)
        else:
            end = first[users] + nth + 1
            begin = np.maximum(first[users], end - length)
            after = self.items[end].astype(np.int32)
        return {"history": self.rows(begin, end, length), "positive": after, "user": users}

    def judged(self, length: int, back: int) -> dict[str, np.ndarray]:
        """Histories and targets, the last item but `back`, and all items that are no candidates."""
        target = self.ends + 1 - back
        first = self.offsets[:-1]
        begin = np.maximum(first, target - length)
        return {
            "history": self.rows(begin, target, length),
            "target": self.items[target].astype(np.int32),
            "touched": self.rows(first, target, int((target - first).max())),
        }


class Group:
    """A tower and its trainings.

    Args:
        spec: Of the plan.
        log: What is learned.
    """

    def __init__(self, spec: dict, log: Log):
        self.spec, self.log = spec, log
        model, training = spec["model"], spec["training"]
        self.model, self.training = model, training
        self.length = model["history_length"]
        system = model["system"]
        by_itself = model.get("transformer") or model.get("routing_penalty")
        self.windows = system in WINDOWS and not by_itself
        members = spec["members"]
        seeds = members.get("seed", [0])
        rates = members.get("learning_rate", [training["learning_rate"]])
        grid = list(itertools.product(range(len(seeds)), rates))
        self.members = [{"seed": seeds[tower], "rate": rate} for tower, rate in grid]
        towers = [keras.models.model_from_json(text) for text in spec["towers"]]
        self.tower = towers[0]
        weights = [[v.value for v in tower.trainable_variables] for tower in towers]
        fixed = [[v.value for v in tower.non_trainable_variables] for tower in towers]
        of = [tower for tower, _ in grid]
        self.weights = [jnp.stack([weights[s][i] for s in of]) for i in range(len(weights[0]))]
        self.fixed = [jnp.stack([fixed[s][i] for s in of]) for i in range(len(fixed[0]))]
        paths = [variable.path for variable in self.tower.trainable_variables]
        self.table = paths.index("items/embeddings")
        if "states" in [layer.name for layer in self.tower.layers]:
            self.states = keras.Model(self.tower.input, self.tower.get_layer("states").output)
        self.data = {
            name: jnp.asarray(values)
            for name, values in log.targets(self.length, self.windows).items()
        }
        touched = np.zeros((log.users, log.num_items + 1), bool)
        owners = np.repeat(np.arange(log.users), log.ends - log.offsets[:-1])
        inside = np.arange(len(log.items)) - np.repeat(log.offsets[:-1], np.diff(log.offsets))
        trained = inside < np.repeat(log.ends - log.offsets[:-1], np.diff(log.offsets))
        touched[owners, log.items[trained]] = True
        self.touched = jnp.asarray(np.packbits(touched, axis=1))
        self.negatives = jnp.asarray(log.negatives)

    def of_tower(self, weights, fixed, call):
        """What `call` gives with these weights, and the other variables after it."""
        old = self.tower.non_trainable_variables
        mapping = [*zip(self.tower.trainable_variables, weights), *zip(old, fixed)]  # noqa: B905
        with keras.StatelessScope(state_mapping=mapping) as scope:
            given = call()
            new = [scope.get_current_value(v) for v in old]
        return given, [b if a is None else a for a, b in zip(new, fixed, strict=True)]

    def represent(self, history, training):
        """Query vectors or interests [n, K, D], logits [n, K] and attention of each target."""
        tower = self.tower
        if not self.windows:
            given = tower({"history": history}, training=training)
            logits = jnp.log(jnp.maximum(given["interest_weights"], 1e-12))
            return given["interests"], logits, given["attention"]
        system = self.model["system"]
        items = tower.get_layer("items")
        logits = None
        if system == "gru4rec":
            states, _ = tower.get_layer("gru")(items(history))
            interests = tower.get_layer("dense")(states)[:, :, None]
        elif hasattr(self, "states"):
            states = self.states({"history": history}, training=training)
            interests = states[:, :, None]
        else:
            states = items(history)
        if system.startswith(("comirec", "timirec")):
            interests = tower.get_layer("extractor").of_prefixes(states, training)
        if system.endswith("_ligr"):
            interests += states[:, :, None]
        if self.spec["distilled"]:
            of_predictor = tower.get_layer("predictor_items")(history)
            logits = tower.get_layer("predictor").of_prefixes(of_predictor, training)
            logits = logits.reshape(-1, logits.shape[-1])
        return interests.reshape(-1, *interests.shape[2:]), logits, None

    def loss(self, weights, fixed, batch, key, phase):
        """The mean loss of a batch's targets."""
        rows, flat, real = batch
        history = self.data["history"][rows]
        given, fixed = self.of_tower(weights, fixed, lambda: self.represent(history, True))
        interests, logits, attention = given
        positive = self.data["positive"][rows].reshape(-1)
        users = jnp.repeat(self.data["user"][rows], self.length if self.windows else 1)
        interests, positive, users = interests[flat], positive[flat], users[flat]
        table = weights[self.table]
        target = table[positive]
        if phase == 2:
            logits = logits[flat]
            query = jnp.sum(jax.nn.softmax(logits)[..., None] * interests, axis=1)
        elif "label_power" in self.model:
            query = label_aware_interest(interests, target, self.model["label_power"])
        else:
            query = best_interest(interests, target)
        losses = self.objective(query, target, positive, users, table, key)
        if phase == 2:
            temperature = self.model["temperature"]
            similarity = target_similarity(interests, target)
            losses += temperature**2 * distillation_loss(
                similarity, logits, temperature, self.model["stop_gradient"]
            )
        if self.model.get("routing_penalty"):
            losses += self.model["routing_penalty"] * routing_variance(attention)[flat]
        return jnp.sum(losses * real) / jnp.maximum(jnp.sum(real), 1), fixed

    def objective(self, query, target, positive, users, table, key):
        kind = self.model["objective"]
        if kind == "bpr":
            drawn = jax.random.randint(key, (len(positive), DRAWS), 1, self.log.num_items + 1)
            byte = self.touched[users[:, None], drawn // 8]
            is_touched = (byte >> (7 - drawn % 8)) & 1
            negative = jnp.take_along_axis(drawn, jnp.argmin(is_touched, 1)[:, None], 1)[:, 0]
            return bpr_loss(query, target, table[negative])
        score, smoothing = jnp.sum(query * target, axis=-1), self.model["label_smoothing"]
        if kind == "softmax":
            return softmax_loss(score, query @ table[1:].T, smoothing)
        others = jax.random.randint(key, (len(positive),), 1, self.log.num_items + 1)
        return sampled_softmax_loss(
            score,
            query @ table[others].T,
            positive[:, None] != others,
            np.log((self.log.num_items - 1) / len(positive)),
            smoothing,
            self.model["hardness"],
        )

    def batches(self, rng) -> tuple[np.ndarray, ...]:
        """An epoch: rows [S, B], the targets among their positions [S, P], and which are real."""
        size = self.training["batch_size"]
        lengths = (np.asarray(self.data["positive"]) > 0).reshape(len(self.data["user"]), -1)
        real = lengths.sum(axis=1)
        order = rng.permutation(len(real))
        most = lengths.shape[1]
        number = (np.cumsum(real[order]) - real[order]) // max(size - most + 1, 1)
        steps = int(number.max()) + 1
        counts = np.bincount(number, minlength=steps)
        if not hasattr(self, "shape"):
            self.shape = steps + 1, -(-int(counts.max() * 1.1) // 64) * 64 if most > 1 else size
        steps, rows_a_step = self.shape
        rows = np.zeros((steps, rows_a_step), np.int32)
        flat = np.zeros((steps, size), np.int32)
        weight = np.zeros((steps, size), np.float32)
        begin = 0
        for step, count in enumerate(counts[:steps]):
            count = min(count, rows_a_step)
            chosen = order[begin : begin + count]
            begin += count
            rows[step, :count] = chosen
            places = np.flatnonzero(lengths[chosen])[:size]
            flat[step, : len(places)] = places
            weight[step, : len(places)] = 1
        return rows, flat, weight

    @partial(jax.jit, static_argnums=(0, 4), donate_argnums=1)
    def epoch(self, state, batches, key, phase):
        rates = jnp.asarray([member["rate"] for member in self.members])
        cosine = self.training["schedule"] == "cosine"
        whole = self.training["max_epochs"] * self.shape[0]

        def of_member(weights, fixed, means, squares, taken, rate, batch, key):
            (_, fixed), gradients = jax.value_and_grad(self.loss, has_aux=True)(
                weights, fixed, batch, key, phase
            )
            decay = self.training["weight_decay"]
            gradients = [g + decay * w for g, w in zip(gradients, weights, strict=True)]
            if cosine:
                rate = rate * (1 + jnp.cos(jnp.pi * jnp.minimum(taken / whole, 1))) / 2
            number = taken + 1
            rate = rate * jnp.sqrt(1 - 0.999**number) / (1 - 0.9**number)
            means = [0.9 * m + 0.1 * g for m, g in zip(means, gradients, strict=True)]
            squares = [0.999 * s + 0.001 * g**2 for s, g in zip(squares, gradients, strict=True)]
            weights = [
                w - rate * m / (jnp.sqrt(s) + 1e-8)
                for w, m, s in zip(weights, means, squares, strict=True)
            ]
            return weights, fixed, means, squares

        def step(carried, batch):
            *state, taken, key = carried
            key, drawn = jax.random.split(key)
            new = jax.vmap(of_member, in_axes=(0, 0, 0, 0, None, 0, None, None))(
                *state, taken, rates, batch, drawn
            )
            empty = jnp.sum(batch[2]) == 0
            new = jax.tree.map(lambda old, new: jnp.where(empty, old, new), tuple(state), new)
            return (*new, taken + jnp.where(empty, 0, 1), key), None

        (*state, taken, _), _ = jax.lax.scan(step, (*state, key), batches)
        return (*state, taken)

    @partial(jax.jit, static_argnums=(0, 4))
    def judge(self, weights, fixed, judged, phase):
        """The rank of each target: int32 [members, users], among the negatives and all items."""
        size = min(USERS_A_BLOCK, self.log.users)
        starts = jnp.minimum(jnp.arange(-(-self.log.users // size)) * size, self.log.users - size)

        def of_block(weights, fixed, start):
            def cut(values):
                return jax.lax.dynamic_slice_in_dim(values, start, size)

            history, target, touched = (cut(judged[n]) for n in ("history", "target", "touched"))
            given, _ = self.of_tower(
                weights, fixed, lambda: self.tower({"history": history}, training=False)
            )
            queries = given["interests" if phase == 1 else "query_vectors"]
            scores = jnp.max(queries @ weights[self.table].T, axis=1)
            least = jnp.take_along_axis(scores, target[:, None], 1)
            least -= 64 * 1.2e-7 * jnp.linalg.norm(queries, axis=2).max(1)[:, None]
            above = (scores >= least).at[:, 0].set(False)
            # The target may be among what the user touched before.
            no_candidates = jnp.concatenate([target[:, None], touched], axis=1)
            rows = jnp.arange(size)[:, None]
            candidates = jnp.ones_like(above).at[rows, no_candidates].set(False)
            full = (above & candidates).sum(1)
            negatives = cut(self.negatives)
            sampled = jnp.take_along_axis(above, negatives, 1) & (negatives > 0)
            return sampled.sum(1), full

        def of_member(state):
            return jax.lax.map(lambda start: of_block(*state, start), starts)

        sampled, full = jax.lax.map(of_member, (weights, fixed))

        def joined(ranks):
            last = self.log.users - (len(starts) - 1) * size
            head = ranks[:, :-1].reshape(len(ranks), -1)
            return jnp.concatenate([head, ranks[:, -1, size - last :]], axis=1)

        return joined(sampled), joined(full)

    def figures(self, ranks) -> list[dict[str, float]]:
        """The metrics of each member."""
        found = [{} for _ in self.members]
        for protocol, values in zip(("sampled", "full"), ranks, strict=True):
            for member, of in zip(found, np.asarray(values), strict=True):
                for cutoff in CUTOFFS:
                    hit = of < cutoff
                    member[f"{protocol} HR@{cutoff}"] = float(hit.mean())
                    gain = np.where(hit, 1 / np.log2(of + 2.0), 0.0)
                    member[f"{protocol} NDCG@{cutoff}"] = float(gain.mean())
        return found

    def train(self, deadline: float, tell, keep) -> dict:
        """Trains all members, phase by phase; each goes on with its best weights."""
        log = self.log
        validation = jax.tree.map(jnp.asarray, log.judged(self.length, 1))
        watched = f"{self.spec['evaluation']['protocol']} {self.spec['evaluation']['metric']}"
        weights, fixed = self.weights, self.fixed
        result = {"name": self.spec["name"], "model": self.model, "training": self.training}
        result |= {"watched": watched, "members": self.members, "phases": []}
        two = self.spec["distilled"] and self.model["pretraining"]
        for phase in (1, 2) if two else ((2,) if self.spec["distilled"] else (1,)):
            zeros = jax.tree.map(jnp.zeros_like, weights)
            state = (weights, fixed, zeros, jax.tree.map(jnp.copy, zeros), jnp.int32(0))
            best = np.full(len(self.members), -1.0)
            best_epoch = np.zeros(len(self.members), int)
            best_figures = [{} for _ in self.members]
            kept = weights = jax.tree.map(jnp.copy, weights)
            began = time.time()
            epoch = 0
            while epoch < self.training["max_epochs"] and time.time() < deadline:
                batches = self.batches(np.random.default_rng([phase, epoch]))
                key = jax.random.key(phase * 1000 + epoch)
                state = self.epoch(state, batches, key, phase)
                epoch += 1
                figures = self.figures(self.judge(state[0], state[1], validation, phase))
                values = np.array([of[watched] for of in figures])
                better = values > best
                best = np.where(better, values, best)
                best_epoch = np.where(better, epoch, best_epoch)
                best_figures = [
                    new if is_better else old
                    for new, old, is_better in zip(figures, best_figures, better, strict=True)
                ]

                def chosen(old, new, better=better):
                    return jnp.where(better.reshape(-1, *[1] * (new.ndim - 1)), new, old)

                kept = jax.tree.map(chosen, kept, state[0])
                if epoch == 1:
                    tell(
                        f"{self.spec['name']} phase {phase}: first epoch {time.time() - began:.0f}s"
                    )
                    began = time.time()
                if (epoch - best_epoch >= self.training["patience"]).all():
                    break
            seconds = (time.time() - began) / max(epoch - 1, 1)
            weights, fixed = kept, state[1]
            found = {"phase": phase, "epochs": epoch, "seconds_an_epoch": seconds}
            found |= {"best_epoch": best_epoch.tolist(), "validation": best_figures}
            if self.spec["test"]:
                test = jax.tree.map(jnp.asarray, log.judged(self.length, 0))
                found["test"] = self.figures(self.judge(weights, fixed, test, phase))
            result["phases"].append(found)
            if self.spec["keep"]:
                keep(phase, int(best.argmax()), weights, fixed)
            tell(
                f"{self.spec['name']} phase {phase}: {epoch} epochs of {seconds:.2f}s, "
                f"{watched} {np.round(best, 4).tolist()}"
            )
        self.weights = weights
        return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--part", default="0/1", help="which groups: every n-th, from i, as i/n")
    parser.add_argument("--seconds", type=float, default=1e9, help="for all of it")
    parser.add_argument("--out", type=Path, help="the folder of the results")
    flags = parser.parse_args()
    began = time.time()
    out = flags.out or flags.folder / "results"
    out.mkdir(parents=True, exist_ok=True)
    log = Log(flags.folder / "data.npz")
    part, parts = map(int, flags.part.split("/"))
    for spec in json.loads((flags.folder / "groups.json").read_text())[part::parts]:
        if time.time() - began > flags.seconds:
            break
        group = Group(spec, log)

        def keep(phase, member, weights, fixed, group=group, name=spec["name"]):
            tower = group.tower
            for variables, values in (
                (tower.trainable_variables, weights),
                (tower.non_trainable_variables, fixed),
            ):
                for variable, value in zip(variables, values, strict=True):
                    variable.assign(value[member])
            tower.save(out / f"{name}-{phase}.keras")

        result = group.train(began + flags.seconds, partial(print, flush=True), keep)
        (out / f"{spec['name']}.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main()
