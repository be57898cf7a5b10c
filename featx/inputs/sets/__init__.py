"""ImageSet: whatever holds images in; names, labels, splits, groups and weights in one fixed order out."""
