"""What a learner predicts: each kind of answer with its loss, metrics, tables and figures."""
