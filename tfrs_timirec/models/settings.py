"""The settings that every system has; a system's own stand beside the system."""

from dataclasses import dataclass
from typing import Literal

from tfrs_timirec.ranges import ScaleOrNone, Share, Size, WholeShare


@dataclass
class ModelSettings:
    """The recommender and its shape.

    Args:
        system: The recommender.
        embedding_size: D, the length of item, interest and query vectors.
        history_length: L, the newest interactions that the model sees.
        objective: What is learned: `bpr` tells each target from its own negative, `gbce` and
            `sampled_softmax` from those of the whole batch, `softmax` from the whole catalogue.
        label_smoothing: The share of the target's probability that softmaxes give to the others;
            with `training.teachers` that of what these expect.
        calibration: t of gBCE, from 0, plain binary cross-entropy, to 1, calibrated.
        hardness: β of `sampled_softmax`: how much more the negatives count that are harder to tell
            from the target.
    """

    system: str
    embedding_size: Size = 64
    history_length: Size = 20
    objective: Literal["bpr", "sampled_softmax", "gbce", "softmax"] = "bpr"
    label_smoothing: Share = 0.0
    calibration: WholeShare = 0.75
    hardness: ScaleOrNone = 0.0
