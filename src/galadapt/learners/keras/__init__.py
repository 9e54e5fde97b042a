"""Networks and their trainer. Nothing is imported here: `backend.prepare` comes before keras."""
