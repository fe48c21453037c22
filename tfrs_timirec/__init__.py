"""Multi-interest sequential recommendation on TensorFlow Recommenders.

    import tfrs_timirec as tr

    model = tr.Recommender(system="timirec", num_interests=4)
    model.fit(log, user="customer", item="sku", time="bought_at")
    model.recommend(users=["c-17", "c-99"], k=10)

Importing this package imports neither TensorFlow nor Keras: `Recommender` does, when it is first
used.
"""

from tfrs_timirec.errors import UserError

__version__ = "0.1.0"
__all__ = ["Recommender", "UserError"]


def __getattr__(name: str):
    if name == "Recommender":
        from tfrs_timirec.recommender import Recommender

        return Recommender
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
