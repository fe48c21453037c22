"""The losses and what they are made of, each over the instances of a batch."""

import math

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


def softmax_loss(score, scores, smoothing: float = 0.0, taught=None):
    """Cross-entropy of the target among the whole catalogue, −log(e^s / Σ_j e^(s_j)).

    Label smoothing gives the share `smoothing` of the target's probability to the other items, to
    all alike; or, with a teacher, to all items as the teacher has it.

    Args:
        score: float [batch], the targets' s.
        scores: float [batch, n], all items' s_j, n > 1.
        smoothing: From 0 to 1.
        taught: float [batch, n], the teacher's probabilities; None without a teacher.

    Returns:
        float [batch], in nats.
    """
    total = ops.logsumexp(scores, axis=-1)
    if not smoothing:
        return total - score
    if taught is None:
        others = (ops.sum(scores, axis=-1) - score) / (scores.shape[1] - 1)
    else:
        others = ops.sum(taught * scores, axis=-1)
    return total - (1 - smoothing) * score - smoothing * others


def sampled_softmax_loss(
    score,
    scores,
    is_other,
    correction: float = 0.0,
    smoothing: float = 0.0,
    hardness: float = 0.0,
):
    """Cross-entropy of the target against a uniform sample of other items.

    −log(e^s / (e^s + Σ_j e^(s_j + c))), where c = log(items there are / items drawn) makes the sum
    over a sample an estimate of the sum over all (Jean et al., ACL 2015, section 3). Label
    smoothing gives the share `smoothing` of the target's probability to the other items. Hardness
    weighs each other item by e^(β·s_j), divided by the mean of these weights: the harder to tell
    from the target, the more it counts (REMI, Xie et al., RecSys 2023, section 4.2).

    Args:
        score: float [batch], the targets' s.
        scores: float [batch, n], the other items' s_j.
        is_other: bool [batch, n], false where the other item is the target itself.
        correction: c.
        smoothing: From 0 to 1.
        hardness: β.

    Returns:
        float [batch], in nats.
    """
    others = ops.where(is_other, scores + correction, -1e9)
    if hardness:
        harder = ops.where(is_other, hardness * scores, -1e9)
        count = ops.sum(ops.cast(is_other, scores.dtype), axis=-1, keepdims=True)
        mean = ops.logsumexp(harder, axis=-1, keepdims=True) - ops.log(ops.maximum(count, 1))
        others = others + ops.where(is_other, harder - mean, 0.0)
    total = ops.logaddexp(score, ops.logsumexp(others, axis=-1))
    if not smoothing:
        return total - score
    weight = ops.cast(is_other, scores.dtype)
    mean = ops.sum(weight * scores, axis=-1) / ops.maximum(ops.sum(weight, axis=-1), 1.0)
    return total - (1 - smoothing) * score - smoothing * mean


def gbce_loss(score, scores, is_other, drawn: float, calibration: float):
    """Generalised binary cross-entropy: less overconfident with few negatives.

    −β·log σ(s − log n) − Σ_j log(1 − σ(s_j − log n)) with β = α·(t·(1 − 1/α) + 1/α), α the share
    of the other items that are drawn (Petrov and Macdonald, RecSys 2023, section 5). Two things
    are not the paper's. Without log n, which changes no ranking, the untrained model would expect
    half of the negatives to be positive, and Adam would remember those gradients for epochs. With
    the factor 1 / (n + 1), weight decay would outweigh the gradients.

    Args:
        score: float [batch], the targets' s.
        scores: float [batch, n], the negatives' s_j.
        is_other: bool [batch, n], false where the negative is the target itself.
        drawn: α.
        calibration: t, from 0, plain binary cross-entropy, to 1, calibrated.

    Returns:
        float [batch].
    """
    prior = math.log(scores.shape[1])
    power = drawn * (calibration * (1 - 1 / drawn) + 1 / drawn)
    negatives = ops.sum(ops.where(is_other, ops.softplus(scores - prior), 0.0), axis=-1)
    return power * ops.softplus(prior - score) + negatives


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
    return ops.sum(_unit(interests) * _unit(target)[:, None, :], axis=-1)


def _unit(vectors):
    # Unlike that of Keras' function, the gradient at zero is a number: padding may be zero.
    squared = ops.sum(vectors**2, axis=-1, keepdims=True)
    return vectors * ops.rsqrt(ops.maximum(squared, 1e-16))


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


def routing_variance(attention):
    """‖diag(C)‖², C = (A − Ā)ᵀ(A − Ā), of the attention A of K interests over a history.

    (REMI, Xie et al., RecSys 2023, section 4.3. Its authors' code counts padding among the items,
    divides C by D and adds the penalties of a batch up: their λ is λ·D² / batch here.)

    Args:
        attention: float [batch, n, K], 0 at padding, which does not count.

    Returns:
        float [batch], from 0, where all items have the same share, to less than K.
    """
    is_item = ops.cast(ops.any(attention > 0, axis=2, keepdims=True), attention.dtype)
    items = ops.maximum(ops.sum(is_item, axis=1, keepdims=True), 1)
    centred = (attention - ops.sum(attention, axis=1, keepdims=True) / items) * is_item
    return ops.sum(ops.sum(centred**2, axis=1) ** 2, axis=-1)
