"""The same extraction by shards: one file a shard, by several processes here or on a cluster, merged at the end."""
