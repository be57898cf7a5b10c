"""Estimators of our own: scikit-learn citizens that learn from class shares and try many parameters at once."""
