"""Items in two dimensions."""

from typing import Any

import numpy as np

from tfrs_timirec.directions import directions

# So many of the most popular items are on the maps.
ON_THE_MAP = 50_000
PERPLEXITY = 30
# Of fewer items, threads would wait for each other longer than they work.
MANY = 5_000


def maps(vectors: np.ndarray, counts: np.ndarray, seed: int) -> dict[str, Any] | None:
    """The directions of the items' vectors, by PCA and by t-SNE.

    Args:
        vectors: float32 [items, D].
        counts: int64 [items], by which the most popular are chosen.
        seed: Of t-SNE.

    Returns:
        `items`, the places of the items on the maps; `pca` and `tsne`, [items on the maps, 2];
        `mean` [D] and `axes` [2, D], by which other vectors find their place on the first; None
        where there is nothing to draw, D or the number of items being too small.
    """
    # TensorFlow, which is there by now, and this library bring the same OpenMP.
    from openTSNE import TSNE

    chosen = np.sort(np.argsort(-counts, kind="stable")[:ON_THE_MAP])
    items = directions(vectors[chosen])
    if min(items.shape) < 4:
        return None
    mean = items.mean(axis=0)
    _, _, axes = np.linalg.svd(items - mean, full_matrices=False)
    pca = (items - mean) @ axes[:2].T
    # t-SNE needs some neighbours more than its perplexity.
    perplexity = min(PERPLEXITY, (len(chosen) - 1) / 3)
    # Small at the beginning, as its authors advise.
    start = pca / (pca[:, 0].std() * 10_000)
    jobs = -1 if len(chosen) > MANY else 1
    tsne = TSNE(perplexity=perplexity, initialization=start, n_jobs=jobs, random_state=seed)
    placed = np.asarray(tsne.fit(items))
    return {
        "items": chosen.tolist(),
        "pca": pca.round(4).tolist(),
        "tsne": placed.round(3).tolist(),
        "mean": mean.tolist(),
        "axes": axes[:2].tolist(),
    }
