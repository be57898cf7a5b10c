"""The class scores of an image from those of its views."""

import numpy as np
from scipy.special import log_expit, log_softmax, logsumexp

from featx.measures.per_image import Floats


def pool_views(scores: Floats, *, multilabel: bool = False) -> Floats:
    """The class scores (n, classes) of n images whose V views have these, (n, V, classes).

    Their softmax (for multi-label their sigmoid) is the mean over the views of that of the views' scores. A temperature
    is for the scores that come out, so that the mean is calibrated and not the views (Rahaman & Thiery,
    arXiv 2007.08792). Scores of a single view are returned as they are.

    >>> import numpy as np
    >>> from featx.measures import pool_views, to_probabilities
    >>> views = np.log([[[0.9, 0.1], [0.5, 0.5]]])
    >>> to_probabilities(pool_views(views)).round(6)
    array([[0.7, 0.3]])
    """
    count = scores.shape[1]
    if count == 1:
        return scores[:, 0]
    scores = scores.astype(np.float64)
    with np.errstate(invalid="ignore"):  # scores that are not finite stay so, and whoever chooses parameters sees that
        if multilabel:
            return np.asarray(logsumexp(log_expit(scores), axis=1) - logsumexp(log_expit(-scores), axis=1))
        return np.asarray(logsumexp(log_softmax(scores, axis=2), axis=1) - np.log(count))
