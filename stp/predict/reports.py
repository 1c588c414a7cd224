"""Reports of predictions: a table to read, csv, and JSON with everything that the probabilities depend on."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tabulate import tabulate

from stp.predict.ensemble import Ensemble
from stp.predict.videos import VideoPrediction
from stp.system.files import complete_file
from stp.system.versions import versions
from stp.video.checking import BadVideo

MILLISECONDS = 3  # decimals of a second
MOST_TIMELINES = 100  # most videos in a figure: more of them could make it higher than a PNG may be


def top_table(predictions: Sequence[VideoPrediction], classes: Sequence[str], most: int = 5) -> str:
    """A table for the terminal: one line per window with its most probable classes, in percent."""
    rows = []
    for prediction in predictions:
        for window, row in zip(prediction.windows, prediction.probabilities, strict=True):
            start, end = prediction.times(window)
            best = row.argsort(kind="stable")[::-1][:most]
            rows.append([str(prediction.path), f"{start:.2f}-{end:.2f}", *(f"{classes[i]} {row[i]:.1%}" for i in best)])
    places = [str(place) for place in range(1, min(most, len(classes)) + 1)]
    return tabulate(rows, headers=["video", "seconds", *places], disable_numparse=True)


def timed(prediction: VideoPrediction) -> Iterator[tuple[float, float, np.ndarray]]:
    """Start and end of each window in seconds, and its probabilities (classes,)."""
    for window, row in zip(prediction.windows, prediction.probabilities, strict=True):
        start, end = prediction.times(window)
        yield round(start, MILLISECONDS), round(end, MILLISECONDS), row


def csv_table(predictions: Sequence[VideoPrediction], classes: Sequence[str]) -> pd.DataFrame:
    """One row per window: video, start and end in seconds, the most probable class, the probability of each class."""
    rows = [
        [str(prediction.path), start, end, classes[int(row.argmax())], *row]
        for prediction in predictions
        for start, end, row in timed(prediction)
    ]
    return pd.DataFrame(rows, columns=["video", "start_seconds", "end_seconds", "predicted", *classes])


def write_csv(path: Path, predictions: Sequence[VideoPrediction], classes: Sequence[str]) -> None:
    with complete_file(path) as temporary:
        csv_table(predictions, classes).to_csv(temporary, index=False, float_format="%.9g")


def report(
    ensemble: Ensemble,
    predictions: Sequence[VideoPrediction],
    bad: Sequence[BadVideo],
    timeline: Mapping[str, float | None],
) -> dict[str, Any]:
    """All probabilities, and the runs, parameters and versions that produced them, as plain values."""

    def windows(prediction: VideoPrediction) -> list[dict[str, Any]]:
        return [
            {"start": start, "end": end, "probabilities": dict(zip(ensemble.classes, row.tolist(), strict=True))}
            for start, end, row in timed(prediction)
        ]

    return {
        "videos": [
            {"video": str(item.path), "frames": item.facts.frames, "rate": item.facts.rate, "windows": windows(item)}
            for item in predictions
        ],
        "skipped": [{"video": video.clip.path, "reason": video.reason} for video in bad],
        "runs": [{"path": str(model.path), "run": str(model.run.name)} for model in ensemble.models],
        "weights": dict(ensemble.weights),
        "space": ensemble.fusion.space,
        "segments": ensemble.views.segments,
        "crops": ensemble.views.crops,
        **timeline,
        "fields": asdict(ensemble.recipe),
        "versions": versions(),
    }


def write_json(path: Path, content: dict[str, Any]) -> None:
    with complete_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8", "backslashreplace")


def save_figure(path: Path, predictions: Sequence[VideoPrediction], classes: tuple[str, ...]) -> None:
    """Write a PNG of the probabilities over time, one plot per video, by the names of the files where they differ."""
    from stp.figures.plots import save_timeline  # not at the top: matplotlib takes a second to import

    names = [Path(item.path).name for item in predictions]
    plots = {}
    for item, name in zip(predictions, names, strict=True):
        middles = np.array([sum(item.times(window)) / 2 for window in item.windows])
        plots[name if names.count(name) == 1 else str(item.path)] = middles, item.probabilities
    save_timeline(path, plots, classes)
