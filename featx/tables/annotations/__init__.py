"""Annotations: labels, splits, groups and weights from a CSV file, which replace those of a cache."""
