"""The losses and what they are made of, each over the instances of a batch."""

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


def label_aware_interest(interests, target, power: float | None):
    """Σ_k softmax(s^p)_k · V_k with s_k = V_k · target: MIND's label-aware attention.

    (Li et al., CIKM 2019, section 4.4.) A negative s_k keeps its sign, whatever p is.

    Args:
        interests: float [batch, K, D].
        target: float [batch, D].
        power: p; None for infinite, where the best-matching interest gets all the attention.

    Returns:
        float [batch, D].
    """
    if power is None:
        return best_interest(interests, target)
    scores = ops.sum(interests * target[:, None, :], axis=-1)
    # The constant keeps the gradient at zero finite for p < 1.
    scores = ops.sign(scores) * (ops.abs(scores) + 1e-9) ** power
    return ops.sum(ops.softmax(scores)[..., None] * interests, axis=1)


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


def distillation_loss(similarity, logits, temperature: float, stop_gradient: bool = True):
    """KL(stop_gradient(softmax(w / T)) ‖ softmax(z / T)) (eqs. 6 to 9).

    Args:
        similarity: float [batch, K], w of eq. 5.
        logits: float [batch, K], the predictor's z.
        temperature: T.
        stop_gradient: Whether no gradient flows into `similarity`.

    Returns:
        float [batch], in nats.
    """
    teacher = ops.log_softmax(similarity / temperature)
    if stop_gradient:
        teacher = ops.stop_gradient(teacher)
    student = ops.log_softmax(logits / temperature)
    return ops.sum(ops.exp(teacher) * (teacher - student), axis=-1)
