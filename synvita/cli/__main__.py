"""`python -m synvita.cli`, as `synvita`."""

import sys

from synvita.cli import main

if __name__ == "__main__":
    sys.exit(main())
