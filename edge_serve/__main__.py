"""`python -m edge_serve`: the command `edgewise-serve`."""

import sys

from edge_serve.cli import main

if __name__ == "__main__":
    sys.exit(main())
