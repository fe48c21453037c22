"""What a user wants more or less of: the weights of the interests, changed by request."""

import tensorflow as tf

from tfrs_timirec.export.users import Users

# A wanted interest that the model gives no weight at all can still be wanted alone.
LEAST_WEIGHT = 1e-30


def reweighted(users: Users, wanted: tf.Tensor) -> Users:
    """The same users with their interests' weights multiplied.

    The sum of the weights stays what it was. For M = 1 < K the query is the weighted sum of the
    interests, as before; else each interest's query is as much longer as its weight is larger, and
    one of weight 0 finds nothing.

    Args:
        users: As the tower has it.
        wanted: float32 [1 or batch, K], from 0 up and not all 0; all ones change nothing.
    """
    wanted /= tf.reduce_max(wanted, axis=1, keepdims=True)
    weights = tf.maximum(users.weights, LEAST_WEIGHT)
    total = tf.reduce_sum(weights, axis=1, keepdims=True)
    gains = wanted * total / tf.reduce_sum(weights * wanted, axis=1, keepdims=True)
    changed = weights * gains
    vectors, interests = users.queries.shape[1], users.interests.shape[1]
    if vectors < interests:
        # Added as a difference, which is none at all where nothing is asked for.
        difference = tf.matmul((changed - weights)[:, None], users.interests)
        return users._replace(queries=users.queries + difference, weights=changed)
    # In the place of a query without weight comes that of the largest: a query of zeros would have
    # a score, and it might be the highest.
    largest = tf.argmax(gains, axis=1, output_type=tf.int32)[:, None]
    chosen = tf.where(gains > 0, tf.range(interests), largest)
    queries = tf.gather(users.queries * gains[:, :, None], chosen, batch_dims=1)
    return users._replace(queries=queries, weights=changed)


def strongest_interest(users: Users, items: tf.Tensor) -> tf.Tensor:
    """The interest that contributes most to the score of an item.

    Args:
        users: Whose interests.
        items: float32 [batch, n, D].

    Returns:
        int32 [batch, n], from 0: argmax over k of weight_k · (interest_k · item), among interests
        of some weight.
    """
    parts = users.weights[:, :, None] * tf.matmul(users.interests, items, transpose_b=True)
    parts = tf.where(users.weights[:, :, None] > 0, parts, parts.dtype.min)
    return tf.argmax(parts, axis=1, output_type=tf.int32)
