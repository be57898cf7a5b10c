"""Which images to label first."""
