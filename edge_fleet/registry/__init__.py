"""The model registry on MLflow, and the ledger of its promotions."""
