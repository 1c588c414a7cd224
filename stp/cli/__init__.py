"""The command line: `stp SUBCOMMAND`, also `python -m stp SUBCOMMAND`; one subcommand per stage of the pipeline.

Modules are imported inside the subcommands, so that a stage only loads what it uses.
"""

from stp.cli import pipeline, data, flow, training, results, overview, videos, pictures, machine  # isort: skip  # in the order of --help
from stp.cli.app import program, set_panels

set_panels()

__all__ = ["data", "flow", "machine", "overview", "pictures", "pipeline", "program", "results", "training", "videos"]
