"""Learning curves: accuracy against the number of training images, and how many labels a target accuracy needs."""
