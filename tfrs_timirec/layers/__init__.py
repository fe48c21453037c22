"""Keras 3 layers of multi-interest recommenders; they run on any Keras backend."""

from tfrs_timirec.layers.aggregation import InterestAggregation
from tfrs_timirec.layers.extractor import SelfAttentiveExtractor
from tfrs_timirec.layers.position import DistanceToEndEmbedding
from tfrs_timirec.layers.predictor import InterestPredictor
from tfrs_timirec.layers.transformer import TransformerBlock

__all__ = [
    "DistanceToEndEmbedding",
    "InterestAggregation",
    "InterestPredictor",
    "SelfAttentiveExtractor",
    "TransformerBlock",
]
