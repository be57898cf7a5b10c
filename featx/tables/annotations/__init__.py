"""Labels, splits, groups and weights of one's own for images that have features, which need no new extraction."""
