"""Runs the nodes between a tensor of a backbone and its feature in torch, and writes what they became back."""

from featx.finetuning.network.reading import read_network as read_network
from featx.finetuning.network.writing import write_network as write_network
