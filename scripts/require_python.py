"""Says in one sentence what is missing, before anything is installed."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - this file runs before the requirement is checked
    found = ".".join(map(str, sys.version_info[:3]))
    sys.exit(
        f"SM3 Scope needs Python 3.11 or newer; {sys.executable} is {found}. Try: make PYTHON=python3.12 run"
    )
try:
    import ensurepip  # noqa: F401 - only whether it is there
    import venv  # noqa: F401
except ImportError:
    sys.exit(f"{sys.executable} cannot make virtual environments; on Debian: apt-get install python3-venv")
