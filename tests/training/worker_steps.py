"""Writes the losses of 200 steps of each phase: `python worker_steps.py OUT SETTING=VALUE …`.

Of several workers, which TF_CONFIG names, the chief writes them.
"""

import json
import sys
from pathlib import Path

import numpy as np

from tfrs_timirec import data
from tfrs_timirec.config import settings_named
from tfrs_timirec.data.task import Task
from tfrs_timirec.models.systems import SYSTEMS
from tfrs_timirec.quiet import quieten_xla
from tfrs_timirec.training.step import TrainingStep
from tfrs_timirec.training.workers import join

STEPS = 200

workers = join(60)
quieten_xla()
out, *given = sys.argv[1:]
named = {name: json.loads(value) for name, value in (word.split("=", 1) for word in given)}
settings = settings_named("timirec", named)
store = data.load(settings.data, settings.seed)
task = Task.of(store, settings, reads_times=False)
system = SYSTEMS["timirec"].create(store.num_items, settings.model, 0.1, settings.seed)
losses = []
for number, model in enumerate(system.phases()):
    step = TrainingStep(model, settings.training, STEPS, workers)
    workers.share_state(step.state)
    seeds = [np.asarray(v.value).tolist() for n, v in step.state.items() if n.startswith("seed")]
    done = 0
    while done < STEPS:
        rng = np.random.default_rng([number, done])
        for inputs in task.batches(settings.training.batch_size, rng, workers.share):
            losses.append(step(inputs)[0])
            done += 1
(summed,) = workers.summed([np.array(seeds)])
if workers.is_chief:
    written = {"losses": losses, "seeds": seeds, "summed": summed.numpy().tolist()}
    Path(out).write_text(json.dumps(written))
