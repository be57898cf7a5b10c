"""A table and the name of a head in; the head, tuned and fitted on training rows, and its result on test rows out.

lesson      table, split -> the rows to learn from, and no other
choosing    head, lesson -> the pipeline whose parameters do best
tuning      plan, lesson -> these parameters, by sweeps
fitting     pipeline, lesson -> the pipeline, fitted
describing  head, split -> its result
"""
