"""Parameter transfer: a head of one domain is where the coefficients of a head of another begin."""
