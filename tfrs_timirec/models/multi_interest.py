"""What systems of K interests share, of which the one that matches the target best is trained."""

from dataclasses import dataclass

from tfrs_timirec.models.base import SequentialRecommender
from tfrs_timirec.models.losses import routing_variance
from tfrs_timirec.models.settings import ModelSettings
from tfrs_timirec.ranges import Few, ScaleOrNone


@dataclass
class InterestSettings(ModelSettings):
    """The settings of systems of several interests.

    Args:
        num_interests: K, the interest vectors of a user.
        routing_penalty: λ of the penalty on attention that sees few items of a history.
    """

    num_interests: Few = 4
    routing_penalty: ScaleOrNone = 0.0


class MultiInterest(SequentialRecommender):
    """K interests; with `settings.routing_penalty` none may hang on a single item.

    (REMI, Xie et al., RecSys 2023, section 4.3; its other idea is the objective's `hardness`.)
    """

    def losses(self, outputs, positive, negative):
        return super().losses(outputs, positive, negative) + self.penalty(outputs)

    def penalty(self, outputs):
        """What is added to the loss of each target: float [batch], or 0.

        Args:
            outputs: What `represent_for_loss` gives.
        """
        if not self.settings.routing_penalty:
            return 0.0
        return self.settings.routing_penalty * routing_variance(outputs["attention"])
