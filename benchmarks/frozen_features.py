"""The floor under a trained run: a linear classifier on frozen ImageNet features, on the same clips and folds.

    python benchmarks/frozen_features.py results/ut_interaction

EfficientNet-Lite0's features of 16 evenly spread images a clip (flow by cross-modality initialisation), averaged over
the clip, and for flow also over each quarter of it; standardised, then logistic regression. Printed for the folds of
the results folder and for leaving one group (recording) out; appended to benchmarks/RESULTS.md.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from record import record
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stp.data.index import Index, read_index
from stp.data.modalities import MODALITIES
from stp.data.shards import ClipFields
from stp.data.splits import read_fold
from stp.models.backbones import build_backbone
from stp.sampling.crops import cut, fixed_crops
from stp.sampling.segments import even_starts, subsegment_fields

SNIPPETS, INPUT_SIZE, SUBSEGMENT = 16, 112, 5


@torch.inference_mode()
def features(index: Index, fields: ClipFields) -> np.ndarray:
    """Frozen features of every clip: float32 (clips, SNIPPETS, 1280)."""
    modality = MODALITIES[fields.modality]
    backbone = build_backbone(
        "efficientnet_lite0", modality.image_channels(SUBSEGMENT), modality.is_flow, "imagenet"
    ).eval()
    rows = []
    for clip in index.clips:
        data = fields[clip.clip]
        starts = even_starts(len(data), SNIPPETS, SUBSEGMENT)
        indices = subsegment_fields(starts, modality.stack(SUBSEGMENT), len(data))
        crop = fixed_crops(*data.shape[2:], 1)[0]
        rows.append(backbone(cut(data, indices, crop, INPUT_SIZE, modality.is_flow)).numpy())
    return np.stack(rows)


def accuracy(x: np.ndarray, labels: np.ndarray, tests: list[np.ndarray]) -> float:
    """Mean over the folds' class accuracies, or overall accuracy where folds lack classes; percent."""
    predicted = np.full(len(labels), -1)
    scores = []
    for test in tests:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
        predicted[test] = model.fit(x[~test], labels[~test]).predict(x[test])
        scores.append(balanced_accuracy_score(labels[test], predicted[test]))
    complete = all(len(set(labels[test])) == len(set(labels)) for test in tests)
    tested = np.any(tests, axis=0)
    return 100 * float(np.mean(scores) if complete else (predicted == labels)[tested].mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    folder = parser.parse_args().results
    torch.set_num_threads(1)
    index = read_index(folder / "index.csv")
    labels, groups = np.array(index.labels), np.array([clip.group for clip in index.clips])
    protocols = {
        "folds of the results": [np.array(read_fold(p, index)) == "test" for p in sorted(folder.glob("splits/*.csv"))]
    }
    if all(groups):
        protocols["leave one group out"] = [groups == group for group in sorted(set(groups))]
    rows = []
    for name in ("rgb", "of", "wof"):
        shards = sorted((folder / "clips" / name).glob("*.h5"))
        if not shards:
            continue
        x = features(index, ClipFields(shards))
        poolings = {"mean of the clip": x.mean(1)}
        if name != "rgb":
            poolings["4 temporal parts"] = x.reshape(len(x), 4, -1, x.shape[-1]).mean(2).reshape(len(x), -1)
        for pooling, pooled in poolings.items():
            rows.append(
                {"input": f"{name.upper()}, {pooling}"} | {k: accuracy(pooled, labels, v) for k, v in protocols.items()}
            )
    table = pd.DataFrame(rows).round(1).to_markdown(index=False)
    record(f"Frozen features and a linear classifier, {folder.name}", table.splitlines(), "Class accuracy in %.")


if __name__ == "__main__":
    main()
