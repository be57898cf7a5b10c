"""Annotations: labels, splits, groups and weights from a CSV file, that replace the ones in a cache."""
