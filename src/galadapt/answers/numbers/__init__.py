"""Numbers: measured quantities, each with its unit and its kind of error."""
