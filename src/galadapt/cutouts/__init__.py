"""From a mosaic and a selection to a stamp set."""
