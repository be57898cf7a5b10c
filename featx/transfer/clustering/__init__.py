"""Clusters of images without labels."""
