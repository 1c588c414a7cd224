"""Model files: a trained run's weights with everything needed to rebuild the run and to prepare its input."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from stp.data.run_name import RunName
from stp.errors import UserError
from stp.system.files import complete_file
from stp.system.versions import versions
from stp.training.run import Run


@dataclass(frozen=True)
class TrainedOn:
    """The ids of a run's training clips and, by modality, the parameters with which their fields were made."""

    clips: Sequence[str] = ()
    fields: Mapping[str, Mapping[str, Any]] | None = None


@dataclass(frozen=True)
class ModelFile:
    """The content of a model file: the run's name, classes and settings, and its weights, tensors by name.

    `kind` is the file of the method in `stp/methods`; `settings` are its options as plain values.
    """

    path: Path
    name: RunName
    kind: str
    classes: tuple[str, ...]
    settings: Mapping[str, Any]
    weights: Mapping[str, Any]
    trained_on: TrainedOn

    def clips(self) -> frozenset[str]:
        """Ids of the training clips; UserError if the file does not list them."""
        if not self.trained_on.clips:
            raise UserError(f"{self.path}: does not say which clips it was trained on; train it again")
        return frozenset(self.trained_on.clips)

    def fields(self) -> Mapping[str, Mapping[str, Any]]:
        """The parameters with which the training clips' fields were made, by modality; UserError if it lacks them."""
        if self.trained_on.fields is None:
            raise UserError(f"{self.path}: does not say how the fields it was trained on were made; train it again")
        return self.trained_on.fields


def write_model(path: Path, run: Run, weights: Mapping[str, Any], trained_on: TrainedOn) -> None:
    """Write a trained run; `weights` are tensors by name, possibly in nested mappings."""
    content = {"run": json.dumps(run.values()), "method": run.kind, "versions": versions()}
    content |= {"clips": list(trained_on.clips), "weights": dict(weights)}
    if trained_on.fields is not None:
        content["fields"] = json.dumps(trained_on.fields, sort_keys=True)
    with complete_file(path) as temporary:
        torch.save(content, temporary)


def read_model(path: Path) -> ModelFile:
    """Read a trained run.

    Files of version 0.1 can be read, too: they name no method and hold the parameters of one modality's fields.

    Raises:
        UserError: the file is not a trained run.
    """
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        values = json.loads(content["run"])
        fields = json.loads(content["fields"]) if "fields" in content else None
        kind = content.get("method", "pyramid")
        if fields is not None and "method" not in content:
            fields = {values["modality"]: fields}
        name = RunName(values["modality"], values["variant"], values["fold"], values["seed"])
        trained_on = TrainedOn(tuple(content.get("clips", ())), fields)
        settings, weights = values["settings"], content["weights"]
        return ModelFile(path, name, kind, tuple(values["classes"]), settings, weights, trained_on)
    except Exception as error:  # torch raises many kinds for a foreign file, some of many lines with bad advice
        raise UserError(f"{path}: not a trained run ({type(error).__name__}); train it again") from None
