"""Annotations: labels, splits, groups, domains and weights from a CSV file, that replace the ones in a cache."""
