"""Numbers that predict, before any head is trained, how well a source transfers, and the ranking of sources by them."""
