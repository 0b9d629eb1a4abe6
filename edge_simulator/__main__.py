"""`python -m edge_simulator`: the same as `edgewise simulate`."""

from edge_simulator.cli import app

if __name__ == "__main__":
    app()
