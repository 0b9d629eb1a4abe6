"""`make test-road`: from a fresh clone to a model retrained because the light before cameras changed; real parts."""
