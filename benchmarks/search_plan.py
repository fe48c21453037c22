"""Writes what `benchmarks.search` needs, on a machine that has TensorFlow, for one that has a GPU.

python -m benchmarks.search_plan PLAN.yaml FOLDER

A plan holds the settings of the log and groups of trainings. Those of a group have the same tower
and differ in `members`: learning rate and seed. `draws` of a plan's `space` are
shared by all its `systems`: each gets the same number of trials from the same space.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import yaml

from tfrs_timirec import data
from tfrs_timirec.config import Settings, TrainingSettings, settings_from
from tfrs_timirec.data.task import Task
from tfrs_timirec.models.systems import SYSTEMS

# What the training by JAX does not do otherwise.
AS_BY_DEFAULT = ("optimizer", "unit", "second_learning_rate", "item_dropout", "precision")


def groups_of(plan: dict) -> list[dict]:
    """The plan's groups, and those that are drawn from its space for each of its systems."""
    rng = np.random.default_rng(plan.get("seed", 0))
    groups = list(plan.get("groups", []))
    draws = plan.get("draws", 0)
    # Each value of a setting comes as often as the others (Latin hypercube sampling).
    drawn_of = {
        name: rng.permutation(np.resize(values, draws)).tolist()
        for name, values in plan.get("space", {}).items()
    }
    for number in range(draws):
        drawn = {name: values[number] for name, values in drawn_of.items()}
        for name, changes in plan["systems"].items():
            model = {**drawn, **changes}
            groups.append({"name": f"{name}-{number}", "model": model})
    return groups


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("plan", type=Path)
    parser.add_argument("folder", type=Path)
    flags = parser.parse_args()
    plan = yaml.safe_load(flags.plan.read_text())
    base = settings_from(plan["base"], str(flags.plan))
    store = data.load(base.data, base.seed)
    task = Task.of(store, base, reads_times=False)
    flags.folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        flags.folder / "data.npz",
        items=store.items.astype(np.int32),
        offsets=store.offsets,
        training_end=task.split.training_end,
        num_items=store.num_items,
        negatives=task.negatives,
    )
    groups = []
    for group in groups_of(plan):
        training = {**plan["base"].get("training", {}), **group.get("training", {})}
        settings = settings_from(
            {**plan["base"], "model": group["model"], "training": training}, group["name"]
        )
        _check(settings, group["name"])
        system = SYSTEMS[settings.model.system]
        members = {**plan.get("members", {}), **group.get("members", {})}
        towers = []
        for seed in members.get("seed", [0]):
            stddev = settings.training.initial_stddev
            created = system.create(store.num_items, settings.model, stddev, seed)
            towers.append(created.user_tower.to_json())
        groups.append(
            {
                "name": group["name"],
                "towers": towers,
                "members": members,
                "model": vars(settings.model),
                "training": vars(settings.training),
                "evaluation": vars(settings.evaluation),
                "distilled": hasattr(system, "extractor"),
                "test": bool(plan.get("test")),
                "keep": bool(group.get("keep")),
            }
        )
    (flags.folder / "groups.json").write_text(json.dumps(groups))
    print(f"{len(groups)} groups in {flags.folder}")


def _check(settings: Settings, name: str) -> None:
    """Refuses what `benchmarks.search` would train otherwise."""
    done = {field: getattr(TrainingSettings(), field) for field in AS_BY_DEFAULT}
    asked = {field: getattr(settings.training, field) for field in AS_BY_DEFAULT}
    if asked != done or settings.model.objective == "gbce":
        raise SystemExit(
            f"{name}: benchmarks.search has no gbce, and of the training {', '.join(done)} as by "
            "default: leave them out."
        )


if __name__ == "__main__":
    main()
