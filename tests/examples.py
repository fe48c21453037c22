"""How many examples a property is tried with where each takes long."""

from hypothesis import settings


def examples(number: int, **others) -> settings:
    """So many, or by the profile `quick` of `make test` a quarter.

    Args:
        number: Examples.
        **others: Of `hypothesis.settings`.
    """
    share = settings.default.max_examples / 100
    return settings(max_examples=max(1, round(share * number)), **others)
