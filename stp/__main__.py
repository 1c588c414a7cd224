"""`python -m stp`."""

import sys

try:
    from stp.cli import program
except ModuleNotFoundError as error:
    if (error.name or "stp").split(".")[0] == "stp":
        raise
    sys.exit(
        f"environment: {sys.executable} has no package {error.name}; activate the environment of stp, as by "
        "`source .venv/bin/activate`"
    )

program()
