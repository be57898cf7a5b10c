"""Makes a backbone with the same graph as another, and weights drawn anew: what a network gives without training."""
