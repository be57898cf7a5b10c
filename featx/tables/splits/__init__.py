"""Splits of a table into training, validation and test rows, and folds for tuning; seeded and without leaks."""
