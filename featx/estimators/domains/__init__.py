"""Adapters between two domains: a source, whose labels are known, and a target, whose labels no adapter reads.

moments        mean, variance and covariance of a domain
pair           the rows of both domains, whose moments are computed once for all adapters
adapter        what all adapters have in common: which rows are of which domain
standardising  the target's columns get the mean and scale of the source's
mapping        the source gets the mean and covariance of the target
importance     weights of source rows by how like the target they are
boosting       source rows that contradict few labelled target rows lose weight (TrAdaBoost)
priors         class scores for other shares of the classes
"""
