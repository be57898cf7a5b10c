"""Runs the nodes between a tensor of a backbone and its feature in torch, and writes what they became back."""
