"""``python -m semiseg``."""

import sys

from semiseg.cli.main import main

sys.exit(main())
