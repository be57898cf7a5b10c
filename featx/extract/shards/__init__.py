"""Extracts an image set in shards, by several processes here or on a cluster, and merges their caches at the end."""
