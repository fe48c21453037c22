"""Target-interest distillation over any system whose query vectors are its K interests."""

from dataclasses import dataclass, fields
from functools import cached_property
from typing import ClassVar

import keras
from keras import ops

from tfrs_timirec.layers import InterestAggregation, InterestPredictor
from tfrs_timirec.models.base import SequentialRecommender, item_table, tower_of_interests
from tfrs_timirec.models.losses import distillation_loss, target_similarity
from tfrs_timirec.models.multi_interest import MultiInterest
from tfrs_timirec.models.settings import ModelSettings
from tfrs_timirec.ranges import Few, Scale, Share


@dataclass
class DistillationSettings:
    """The predictor's settings (the defaults are those of TiMiRec's authors for Beauty).

    Args:
        predictor_layers: Dense layers that turn the GRU's state into the K logits.
        predictor_dropout: Share of the activations between these layers dropped in training; one
            layer has none.
        temperature: T of the soft labels and of the distillation.
        pretraining: Trains the extractor alone first; false trains everything from scratch, an
            ablation.
        stop_gradient: Keeps the distillation's gradient out of the soft labels; false lets it in,
            an ablation.
    """

    predictor_layers: Few = 1
    predictor_dropout: Share = 0.0
    temperature: Scale = 0.1
    pretraining: bool = True
    stop_gradient: bool = True


class Distilled(SequentialRecommender):
    """K interests, aggregated by a prediction of the one that drives the next action.

    (Wang et al., CIKM 2022.) Without `settings.pretraining` or `settings.stop_gradient` it is an
    ablation of the paper's table 4.

    Attributes:
        extractor: The system that makes the interests, which is the first phase.
    """

    extractor: ClassVar[type[MultiInterest]]
    item_tables = 2
    learns = "to predict the interest that drives the next action"

    @classmethod
    def build_tower(cls, num_items, settings, initializer, seed) -> keras.Model:
        extractor = cls.extractor.build_tower(num_items, settings, initializer, seed)
        # From the beginning again: what the predictor draws hangs not on what the extractor drew.
        initializer = initializer.clone()
        # A table of the predictor's own.
        items = item_table(num_items, settings.embedding_size, initializer, "predictor_items")
        predictor = InterestPredictor(
            settings.num_interests,
            settings.predictor_layers,
            settings.predictor_dropout,
            kernel_initializer=initializer,
            name="predictor",
        )
        interests = extractor.output["interests"]
        logits = predictor(items(extractor.input["history"]))
        query = InterestAggregation(name="aggregation")(interests, logits)
        outputs = {
            "query_vectors": ops.expand_dims(query, 1),
            "interests": interests,
            "interest_weights": ops.softmax(logits),
            "attention": extractor.output["attention"],
        }
        return keras.Model(extractor.input, outputs, name="user_tower")

    @property
    def title(self) -> str:
        name = self.name_over(self.pretrained.title)
        if not self.settings.pretraining:
            name += ", joint training"
        if not self.settings.stop_gradient:
            name += ", without stop-gradient"
        return name

    def name_over(self, extractor: str) -> str:
        """The system's name in tables, over an extractor of this name."""
        return extractor.replace("ComiRec", "TiMiRec")

    @cached_property
    def pretrained(self) -> MultiInterest:
        """The first phase: the extractor, whose layers are those of the whole."""
        outputs = self.user_tower.output
        tower = tower_of_interests(
            self.user_tower.input, outputs["interests"], outputs["attention"]
        )
        return self.extractor(tower, self.settings)

    @cached_property
    def _with_logits(self) -> keras.Model:
        logits = self.user_tower.get_layer("predictor").output
        return keras.Model(self.user_tower.input, {**self.user_tower.output, "logits": logits})

    @classmethod
    def first_phase(cls, settings: ModelSettings) -> ModelSettings | None:
        if not settings.pretraining:
            return None
        kind = cls.extractor.settings_type
        own = {field.name: getattr(settings, field.name) for field in fields(kind)}
        return kind(**{**own, "system": kind.system})

    def phases(self) -> list[SequentialRecommender]:
        return [self.pretrained, self] if self.settings.pretraining else [self]

    def represent_for_loss(self, inputs, training=False):
        taken = {name: inputs[name] for name in self.tower_inputs}
        return self._with_logits(taken, training=training)

    def represent_prefixes(self, inputs, training=False):
        outputs = self.pretrained.represent_prefixes(inputs, training)
        interests = outputs["query_vectors"]
        items = self.user_tower.get_layer("predictor_items")(inputs["history"])
        predictor = self.user_tower.get_layer("predictor")
        logits = predictor.of_prefixes(items, training)
        logits = ops.reshape(logits, (-1, self.settings.num_interests))
        query = self.user_tower.get_layer("aggregation")(interests, logits)
        query = ops.expand_dims(query, 1)
        return {**outputs, "query_vectors": query, "interests": interests, "logits": logits}

    def losses(self, outputs, positive, negative):
        """L = L_rec + T² · L_distill (eq. 11)."""
        query = outputs["query_vectors"][:, 0]
        taught = outputs.get("taught")
        recommendation = self.objective(query, positive, negative, self.items, taught)
        target = ops.cast(self.items(positive), "float32")
        similarity = target_similarity(outputs["interests"], target)
        temperature = self.settings.temperature
        distillation = distillation_loss(
            similarity, outputs["logits"], temperature, self.settings.stop_gradient
        )
        penalty = self.pretrained.penalty(outputs)
        return recommendation + temperature**2 * distillation + penalty
