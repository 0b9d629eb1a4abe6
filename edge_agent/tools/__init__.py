"""Commands of `edgewise-agent` beside `run`."""
