"""Run the command line with ``python -m chamaleonet``."""

from chamaleonet.cli import main

raise SystemExit(main())
