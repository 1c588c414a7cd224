"""Model files: a trained run's weights with everything needed to rebuild the run and to prepare its input."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from stp.data.run_name import RunName
from stp.errors import UserError
from stp.models.state_dicts import first_line
from stp.system.files import DiskFile, complete_file, is_system_error, kind_of_file
from stp.system.tensor_files import load_tensors, not_finite
from stp.system.versions import another_version, versions
from stp.training.run import Run

GIVE = "give model.pt of a run's folder, RESULTS/runs/INPUT/METHOD/foldN/seedS"


@dataclass(frozen=True)
class TrainedOn:
    """The ids of a run's training clips and, by modality, the parameters with which their fields were made."""

    clips: Sequence[str] = ()
    fields: Mapping[str, Mapping[str, Any]] | None = None


@dataclass(frozen=True)
class ModelFile:
    """The content of a model file: the run's name, classes and settings, and its weights, tensors by name.

    `kind` is the file of the method in `stp/methods`; `settings` are its options as plain values; `versions` are those
    that wrote the file.
    """

    path: Path
    name: RunName
    kind: str
    classes: tuple[str, ...]
    settings: Mapping[str, Any]
    weights: Mapping[str, Any]
    trained_on: TrainedOn
    versions: Mapping[str, str] = field(default_factory=dict)

    def unusable(self, reason: str) -> UserError:
        """The error for a file from which this version cannot rebuild the run; it says which version can."""
        return UserError(f"{self.path}: {reason}; {another_version(self.versions)}train it again")

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
    """Write a trained run; `weights` are tensors by name, possibly in nested mappings.

    Raises:
        UserError: a weight is NaN or infinite.
    """
    if bad := not_finite(weights):
        raise UserError(f"{run.name}: training gave NaN or infinite weights in '{bad}'; choose other settings")
    content = {"run": json.dumps(run.values()), "method": run.kind, "versions": versions()}
    content |= {"clips": list(trained_on.clips), "weights": dict(weights)}
    if trained_on.fields is not None:
        content["fields"] = json.dumps(trained_on.fields, sort_keys=True)
    with complete_file(path) as temporary, DiskFile(temporary) as file:
        torch.save(content, file)


def read_model(path: Path) -> ModelFile:
    """Read a trained run.

    Files of version 0.1 can be read, too: they name no method and hold the parameters of one modality's fields.

    Raises:
        UserError: the file is not a trained run, is damaged, has NaN or infinite weights, or has the form of another
            version.
    """
    try:
        content = load_tensors(path)
    except Exception as error:  # torch raises many kinds for a foreign file, some of many lines with bad advice
        if is_system_error(error):
            raise UserError(f"{path}: cannot be read ({error})") from None
        if (other := kind_of_file(path)) not in ("", "an archive, as of torch"):
            raise UserError(f"{path}: not a trained run, but {other}; {GIVE}") from None
        raise UserError(f"{path}: not a trained run, or damaged ({_reason(error)}); train it again") from None
    if not isinstance(content, dict) or not {"run", "weights"} <= content.keys():
        raise UserError(f"{path}: not a trained run, but another file of torch's; {GIVE}")
    try:
        file = _model_file(path, content)
        bad = not_finite(file.weights)
    except Exception as error:
        advice = f"{another_version(content.get('versions', {}))}train it again"
        raise UserError(f"{path}: not a trained run, or damaged ({_reason(error)}); {advice}") from None
    if bad:
        raise UserError(f"{path}: has NaN or infinite weights in '{bad}'; train it again")
    return file


def _reason(error: Exception) -> str:
    return first_line(error) if isinstance(error, ValueError) else type(error).__name__


def _model_file(path: Path, content: Mapping[str, Any]) -> ModelFile:
    """The model file with this content; errors of many kinds if it has another form."""
    values = json.loads(content["run"])
    fields = json.loads(content["fields"]) if "fields" in content else None
    kind = content.get("method", "pyramid")
    if fields is not None and "method" not in content:
        fields = {values["modality"]: fields}
    name = RunName(values["modality"], values["variant"], int(values["fold"]), int(values["seed"]))
    if fields is not None:
        fields = {modality: dict(fields[modality]) for modality in name.modalities}
    trained_on = TrainedOn(tuple(content.get("clips", ())), fields)
    classes, settings, weights = tuple(values["classes"]), values["settings"], content["weights"]
    return ModelFile(path, name, kind, classes, settings, weights, trained_on, content.get("versions", {}))
