"""`python -m edge_agent`: the same as `edgewise-agent`."""

import sys

from edge_agent.cli import main

sys.exit(main())
