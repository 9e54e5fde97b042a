"""Classes: one of several labels, nominal or ordered."""
