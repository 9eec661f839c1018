"""``python -m server``: the service as a process.

All of it is in `server.serving`, loaded only where this file itself is run: `anyio.to_process` runs it again, by
another name, in the process beside the service, which needs none of that and would take half as long again to start.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    from server.serving import main

    sys.exit(main())
