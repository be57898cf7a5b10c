"""Extraction in shards: one cache for each, by several processes here or on a cluster, merged at the end."""
