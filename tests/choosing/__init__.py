"""Tests of the room `choosing`."""
