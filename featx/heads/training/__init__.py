"""From a table and the name of a head to a fitted head and its result: `train_head` in training.py is the whole way.

validating   whether parameters are chosen on validation rows or in folds
development  the rows to learn from, and none of the test rows
choosing     name of a head -> pipeline with the parameters that do best
tuning       pipeline and parameters to try -> the best ones on validation rows
fitting      fits of pipelines, step by step
calibrating  a tuned pipeline, fitted, and the temperature of its probabilities
viewing      how the views of images are used, by validation rows, and what they are worth
outcome      the result on test rows
refitting    a head with the parameters that it has, fitted to other rows
"""
