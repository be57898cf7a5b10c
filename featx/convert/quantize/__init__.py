"""A backbone in float32 and images like those to come in; one of fewer bits, with what that costs and gains, out."""
