"""Controllable diversity: the aggregation module of ComiRec."""

import math

import tensorflow as tf


def diverse_places(
    scores: tf.Tensor, categories: tf.Tensor, k: tf.Tensor, diversity: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Chooses items by score and by how many of those chosen before are of another category.

    Greedily maximises Σ_i f(u, i) + λ Σ_i Σ_j [category(i) ≠ category(j)] over sets of k
    candidates (Cen et al., KDD 2020, section 3.4, algorithm 1).

    Args:
        scores: float32 [batch, n], f; −inf for what may not be chosen.
        categories: int32 [batch, n], of the candidates.
        k: int32, at most n.
        diversity: float32 [batch, 1], λ.

    Returns:
        float32 [batch, k], the scores of the items in the order they were chosen, −inf where none
        was left, and int32 [batch, k], their places among the candidates.
    """
    batch = tf.shape(scores)[0]

    def choose(i, left, bonus, chosen_scores, chosen_places):
        # In double precision, or a large λ would leave nothing of the differences in score.
        place = tf.argmax(tf.cast(left, tf.float64) + bonus, axis=1, output_type=tf.int32)
        score = tf.gather(left, place, batch_dims=1)
        category = tf.gather(categories, place, batch_dims=1)
        others = tf.cast(categories != category[:, None], tf.float64)
        bonus += tf.cast(diversity, tf.float64) * others
        left = tf.where(tf.range(tf.shape(left)[1]) == place[:, None], -math.inf, left)
        return (
            i + 1,
            left,
            bonus,
            chosen_scores.write(i, score),
            chosen_places.write(i, place),
        )

    _, _, _, chosen_scores, chosen_places = tf.while_loop(
        lambda i, *_: i < k,
        choose,
        (
            0,
            scores,
            tf.zeros_like(scores, tf.float64),
            tf.TensorArray(tf.float32, size=k, element_shape=scores.shape[:1]),
            tf.TensorArray(tf.int32, size=k, element_shape=scores.shape[:1]),
        ),
    )
    shape = [k, batch]
    return (
        tf.transpose(tf.reshape(chosen_scores.stack(), shape)),
        tf.transpose(tf.reshape(chosen_places.stack(), shape)),
    )
