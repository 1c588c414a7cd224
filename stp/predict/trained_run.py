"""A trained run from its folder: its network, its scores, and predictions of videos."""

from dataclasses import dataclass
from pathlib import Path

from stp import methods
from stp.config import Fusion, Views
from stp.data.run_name import RunName
from stp.errors import UserError
from stp.evaluation.scores import Scores, read_scores
from stp.methods import Recogniser
from stp.methods.network import NetworkRecogniser
from stp.models.segment_network import SegmentNetwork
from stp.predict.ensemble import load_ensemble
from stp.predict.videos import predict_video
from stp.sampling.samples import Sampler
from stp.system.devices import select_device
from stp.system.machine import processors
from stp.training.model_file import ModelFile
from stp.video.decoding import UndecodableError


@dataclass(frozen=True)
class TrainedRun:
    """A run in the folder RESULTS/runs/INPUT/METHOD/foldN/seedS.

    `recogniser` is what was trained, `file` the content of its model.pt: options, training clips, how their fields were
    made, versions.
    """

    folder: Path
    recogniser: Recogniser
    file: ModelFile

    @property
    def name(self) -> RunName:
        """Input, method, fold and seed."""
        return self.file.name

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the scores."""
        return self.file.classes

    @property
    def network(self) -> SegmentNetwork:
        """The network, in evaluation mode: images (B, N, K, C, H, W) of 0..255 -> scores (B, N, classes).

        Images are square, with sides of `file.settings["input_size"]` pixels.

        Raises:
            UserError: the method has no network.
        """
        return self._network().scorer.network

    @property
    def sampler(self) -> Sampler:
        """The sampler that the run was trained with, for a `stp.training.clip_dataset.ClipDataset`; see `network`."""
        return self._network().scorer.sampler

    def _network(self) -> NetworkRecogniser:
        if not isinstance(self.recogniser, NetworkRecogniser):
            raise UserError(f"{self.file.path}: a run of '{self.file.kind}', which has no network")
        return self.recogniser

    def scores(self) -> Scores:
        """The scores of the fold's test clips, from the run's scores.h5; UserError as of `read_scores`."""
        return read_scores(self.folder / "scores.h5")

    def predict(
        self, video: str | Path, device: str = "auto", segments: int = Views.segments, crops: int = Views.crops
    ) -> dict[str, float]:
        """The probability of each class for a whole video, the likeliest first, as `stp predict` gives them.

        With the segments and crops of the config's section `scoring`, a test clip has the scores that `scores` gives.

        Raises:
            UserError: the video does not decode to its end, or the method has no network.
        """
        self._network()
        where = select_device(device)
        ensemble = load_ensemble([self.file.path], Fusion(), Views(segments, crops), where)
        try:
            prediction = predict_video(ensemble, Path(video), where, threads=processors())
        except UndecodableError as error:
            raise UserError(f"{video}: {error}") from None
        shares = dict(zip(self.classes, prediction.probabilities[0].tolist(), strict=True))
        return dict(sorted(shares.items(), key=lambda share: -share[1]))


def load_run(folder: str | Path) -> TrainedRun:
    """A trained run from its folder, or from the model.pt in it.

    Raises:
        UserError: there is no trained run, or the file is damaged, of another kind or of another version.
    """
    given = Path(folder)
    path = given / "model.pt" if given.is_dir() else given
    if not path.is_file():
        raise UserError(
            f"{given}: no trained run, which has a model.pt; give RESULTS/runs/INPUT/METHOD/foldN/seedS, as `stp runs` "
            "lists them"
        )
    return TrainedRun(path.parent, *methods.load(path))
