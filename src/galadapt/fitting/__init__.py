"""Sersic profiles fitted to the pixels of stamps: the refinement of a network's measurement."""
