"""A table in; training, validation and test rows out, and folds to tune on: seeded, as row indices, without a leak."""
