"""One retraining, from what is asked to what came of it: plan, record, checkout of its own, result."""
