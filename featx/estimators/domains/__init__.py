"""Adapters between two domains: a source, whose labels are known, and a target, whose labels no adapter reads.

pair           the rows of both domains and their moments, computed once for all adapters
adapter        what all adapters have in common: which rows are of which domain
standardising  the target's columns get the mean and scale of the source's
"""
