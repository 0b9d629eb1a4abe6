"""MLflow's registry and the ledger of who promoted what."""
