"""Maps: a probability for every pixel, and the class that follows from the flagged area."""
