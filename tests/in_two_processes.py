"""Run all tests in two processes, one beside the other: those of the whole workflow, and all others.

Each writes as pytest does; the output of the second follows that of the first. The exit status is 0 if both pass.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).parent
APART = ("workflow", "training", "predict", "figures", "overview")  # folders whose tests take about half of the time


def main() -> int:
    """Run both, and return pytest's exit status of the first that fails."""
    apart = [str(TESTS / name) for name in APART]
    others = [str(TESTS), *(f"--ignore={path}" for path in apart)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}  # each has a core
    pytest = [sys.executable, "-m", "pytest"]
    with tempfile.TemporaryFile() as output:
        beside = subprocess.Popen([*pytest, *apart], env=environment, stdout=output, stderr=subprocess.STDOUT)
        first = subprocess.run([*pytest, *others], env=environment, check=False).returncode
        second = beside.wait()
        output.seek(0)
        sys.stdout.write(output.read().decode(errors="replace"))
    return first or second


if __name__ == "__main__":
    sys.exit(main())
