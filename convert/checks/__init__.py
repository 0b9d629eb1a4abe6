"""The gate's measurements of a candidate, and the decision made on them."""
