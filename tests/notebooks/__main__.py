"""``make docs``: execute README and guides, each page in a folder of its own."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tests.notebooks.pages import PAGES, ROOT, execute_page

for page in PAGES:
    if sys.argv[1:] and page.stem not in sys.argv[1:]:
        continue
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        execute_page(page, Path(folder))
    print(f"{page.relative_to(ROOT)}: {time.monotonic() - began:.0f} s", flush=True)
