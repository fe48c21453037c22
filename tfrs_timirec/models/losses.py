"""The losses of TiMiRec, each a vector over the instances of a batch."""

from keras import ops


def bpr_loss(query, positive, negative):
    """−log σ(v·i⁺ − v·i⁻) (TiMiRec, CIKM 2022, eq. 10).

    Args:
        query: float [batch, D], the query vectors v.
        positive: float [batch, D], the target items' vectors.
        negative: float [batch, D], the negatives' vectors.

    Returns:
        float [batch].
    """
    return ops.softplus(ops.sum(query * (negative - positive), axis=-1))


def best_interest(interests, target):
    """The interest with the largest dot product with the target item (eq. 2).

    Args:
        interests: float [batch, K, D].
        target: float [batch, D].

    Returns:
        float [batch, D].
    """
    scores = ops.sum(interests * target[:, None, :], axis=-1)
    chosen = ops.one_hot(ops.argmax(scores, axis=-1), interests.shape[1], dtype=interests.dtype)
    return ops.sum(chosen[..., None] * interests, axis=1)


def target_similarity(interests, target):
    """w_k = cos(V_k, target item) (eq. 5).

    Args:
        interests: float [batch, K, D].
        target: float [batch, D].

    Returns:
        float [batch, K], from −1 to 1.
    """
    interests = ops.normalize(interests, axis=-1, epsilon=1e-8)
    target = ops.normalize(target, axis=-1, epsilon=1e-8)
    return ops.sum(interests * target[:, None, :], axis=-1)


def distillation_loss(similarity, logits, temperature: float):
    """KL(stop_gradient(softmax(w / T)) ‖ softmax(z / T)) (eqs. 6 to 9).

    Args:
        similarity: float [batch, K], w of eq. 5; no gradient flows into it.
        logits: float [batch, K], the predictor's z.
        temperature: T.

    Returns:
        float [batch], in nats.
    """
    teacher = ops.stop_gradient(ops.log_softmax(similarity / temperature))
    student = ops.log_softmax(logits / temperature)
    return ops.sum(ops.exp(teacher) * (teacher - student), axis=-1)
