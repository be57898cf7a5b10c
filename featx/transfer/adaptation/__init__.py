"""A head of the source made to fit the target, by methods with names, each judged against the head as it is."""
