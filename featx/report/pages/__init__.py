"""What a report says: inputs of several kinds become the sections of one page, in the order in which people ask."""
