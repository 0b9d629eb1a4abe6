"""The retraining loop: from an alert to its cause, a decision, and where that helps a retrained release."""
