"""The types of the numbers in settings: each has a range, outside of which it makes no sense."""

from jsonargparse.typing import ClosedUnitInterval, restricted_number_type


def _between(name: str, kind: type, least: float, most: float, below: bool = False) -> type:
    bounds = [(">=", least), ("<" if below else "<=", most)]
    return restricted_number_type(name, kind, bounds)


# How many times something is done, or interactions are asked for.
Count = _between("Count", int, 1, 10**6)
# The width of a vector or of a layer, the length of a history, the rows of a batch.
Size = _between("Size", int, 1, 2**16)
# Vectors of a user, or layers: further ones cost much and mean nothing.
Few = _between("Few", int, 1, 256)
# What NumPy and TensorFlow both take.
Seed = _between("Seed", int, 0, 2**32 - 1)
# What scales numbers in single precision: far from where they overflow or vanish.
Scale = _between("Scale", float, 1e-6, 1e3)
ScaleOrNone = _between("ScaleOrNone", float, 0, 1e3)
Rate = _between("Rate", float, 1e-9, 1e3)
Share = _between("Share", float, 0, 1, below=True)
WholeShare = ClosedUnitInterval
Rating = _between("Rating", float, -1e9, 1e9)
# Elements of an array, scores or bytes: what 32 bits count.
Elements = _between("Elements", int, 1, 2**31 - 1)
# Port 0 takes a free one.
Port = _between("Port", int, 0, 65_535)
Seconds = _between("Seconds", float, 1e-3, 86_400)
