"""Keras 3 layers of sequential recommenders; they run on any Keras backend."""

from tfrs_timirec.layers.aggregation import InterestAggregation
from tfrs_timirec.layers.extractor import SelfAttentiveExtractor
from tfrs_timirec.layers.frequency import FrequencyBlock
from tfrs_timirec.layers.hstu import HSTUBlock
from tfrs_timirec.layers.ligr import LiGRBlock
from tfrs_timirec.layers.pooling import HistoryMean, NewestItem, StateChange
from tfrs_timirec.layers.position import DistanceToEndEmbedding, DistanceToStartEmbedding
from tfrs_timirec.layers.predictor import InterestPredictor
from tfrs_timirec.layers.routing import DynamicRouting
from tfrs_timirec.layers.sasrec_block import SASRecBlock
from tfrs_timirec.layers.time_intervals import TimeIntervalBlock
from tfrs_timirec.layers.transformer import TransformerBlock

__all__ = [
    "DistanceToEndEmbedding",
    "DistanceToStartEmbedding",
    "DynamicRouting",
    "FrequencyBlock",
    "HSTUBlock",
    "HistoryMean",
    "InterestAggregation",
    "InterestPredictor",
    "LiGRBlock",
    "NewestItem",
    "SASRecBlock",
    "SelfAttentiveExtractor",
    "StateChange",
    "TimeIntervalBlock",
    "TransformerBlock",
]
