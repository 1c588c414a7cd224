"""The look of all figures, and how they are written: as vector pdf and as png.

The look is in `paper.mplstyle`. Sizes are those on paper.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # before pyplot: no display on servers
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from stp.system.files import complete_file
from stp.system.versions import versions

plt.rcParams["text.parse_math"] = False  # names of clips and classes may hold $
STYLE = "stp.figures.paper"
COLUMN, PAGE = 3.5, 7.16  # inches


def save_figure(stem: Path, figure: Figure, title: str, parameters: Mapping[str, Any] | None = None) -> None:
    """Write STEM.png and STEM.pdf and close the figure.

    Their metadata hold the title and, as JSON, the parameters, or the versions if there are none. They hold no dates,
    so that the files have the same bytes whenever they are made.
    """
    text = json.dumps({"versions": versions()} if parameters is None else dict(parameters), sort_keys=True)
    kinds: dict[str, dict[str, str | None]] = {
        "png": {"Title": title, "Description": text, "Software": None},
        "pdf": {"Title": title, "Subject": text, "CreationDate": None},
    }
    for kind, metadata in kinds.items():
        with complete_file(stem.with_name(f"{stem.name}.{kind}")) as temporary:
            figure.savefig(temporary, format=kind, dpi=300, metadata=metadata)
    plt.close(figure)
