"""What tests share: builders of small projects, servers, kills."""

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]
REALDATA = Path(os.environ.get("SEMISEG_REALDATA", ROOT.parent / "shared" / "realdata"))  # real scans, never committed
