"""What lies between two domains: nothing that matters, other shares of classes, or another domain."""
