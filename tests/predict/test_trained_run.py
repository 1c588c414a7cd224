"""`load_run`: a run from its folder, and what it says of a folder or a file that is none."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import softmax

import stp
from stp.config import Views
from stp.data.index import Clip
from stp.data.run_name import RunName
from stp.data.shards import write_shard
from stp.methods import Task, svm
from stp.sampling.crops import fixed_crops, render
from stp.system.devices import Compute
from stp.training.model_file import TrainedOn
from stp.training.session import Session

CPU = Compute(torch.device("cpu"))


@pytest.fixture(scope="module")
def folder(tiny_results: Path) -> Path:
    return tiny_results / "runs/of/3-level/fold1/seed0"


def test_a_run_is_loaded_from_its_folder_as_text_with_network_classes_and_scores(folder: Path) -> None:
    run = stp.load_run(str(folder))
    assert (str(run.name), run.folder) == ("of/3-level/fold1/seed0", folder)
    assert set(run.classes) == {"pointing", "attention", "positive", "negative", "passing", "receiving", "gesture"}
    assert stp.load_run(folder / "model.pt").name == run.name
    scores = run.scores()
    assert (scores.run, scores.classes) == (run.name, run.classes)
    assert not set(scores.clips) & run.file.clips()


def test_its_network_gives_the_scores_of_the_clips_that_a_dataset_reads(folder: Path, tiny_results: Path) -> None:
    run = stp.load_run(folder)
    index, shards, fold = (tiny_results / name for name in ("index.csv", "clips/of", "splits/fold1.csv"))
    dataset = stp.ClipDataset.from_shards(index, shards, fold, "test", sampler=run.sampler, segments=3)
    names = run.scores().clips
    assert [clip.clip for clip in dataset.clips] == list(names)
    assert dataset.classes == run.classes
    fields, _ = dataset[0]
    assert fields.shape == (3, 4, 2 * 5, 36, 48)
    rows, columns = fixed_crops(36, 48, 1)[0].slices
    images = render(fields.flatten(0, 1)[..., rows, columns], False, run.file.settings["input_size"], True)
    with torch.inference_mode():
        scores = run.network(images.unflatten(0, (3, 4))[None])[0]
    stored = {"of": stp.ClipFields(tiny_results / "clips/of")}
    expected = run.recogniser.scores(names[:1], stored, Views(segments=3, crops=1), CPU)[0]
    np.testing.assert_allclose(scores.numpy(), expected, rtol=1e-4, atol=1e-5)


def test_a_video_is_predicted_as_stp_predict_does_the_likeliest_class_first(folder: Path, tiny_results: Path) -> None:
    run = stp.load_run(folder)
    scores = run.scores()
    shares = run.predict(tiny_results / f"videos/{scores.clips[0]}.mp4", device="cpu", segments=3)
    assert [shares[name] for name in run.classes] == pytest.approx(softmax(scores.video_scores()[0]), rel=1e-4)
    assert list(shares.values()) == sorted(shares.values(), reverse=True)
    assert sum(shares.values()) == pytest.approx(1)
    (tiny_results / "no.mp4").write_bytes(b"no video")
    with pytest.raises(stp.UserError, match=r"no.mp4: cannot be opened as a video"):
        run.predict(tiny_results / "no.mp4", device="cpu")


@pytest.mark.parametrize("place", ["runs", "runs/of", "nowhere", "splits"])
def test_a_folder_without_a_run_says_where_runs_are(tiny_results: Path, place: str) -> None:
    with pytest.raises(stp.UserError, match=r"no trained run, which has a model.pt; give RESULTS/runs/INPUT/METHOD/"):
        stp.load_run(tiny_results / place)


def test_a_run_of_another_version_says_which_one_wrote_it_and_not_that_it_is_damaged(
    folder: Path, tmp_path: Path
) -> None:
    content = torch.load(folder / "model.pt", weights_only=True)
    content["versions"]["stp"] = "9.0.0"
    changes = {
        "method 'whirl' is unknown": {"method": "whirl"},
        "swirl": {"run": content["run"].replace('"batch_videos"', '"swirl"')},
        "its weights are not those of of/3-level/fold1/seed0": {"weights": {"swirl.weight": torch.zeros(1)}},
        "KeyError": {"run": content["run"].replace('"variant"', '"approach"')},
    }
    for reason, change in changes.items():
        torch.save(content | change, tmp_path / "model.pt")
        with pytest.raises(stp.UserError, match=reason) as caught:
            stp.load_run(tmp_path)
        advice = f"stp 9.0.0 wrote it, and this is stp {stp.__version__}: use that version, or train it again"
        assert str(caught.value).endswith(advice)
        assert "\n" not in str(caught.value)
    torch.save(content, tmp_path / "model.pt")
    assert stp.load_run(tmp_path).classes == stp.load_run(folder).classes  # what has not changed can be read
    torch.save(content | changes["swirl"] | {"versions": {"stp": stp.__version__}}, tmp_path / "model.pt")
    with pytest.raises(stp.UserError, match=r"swirl.*; train it again$") as caught:
        stp.load_run(tmp_path)
    assert "wrote it" not in str(caught.value)


def test_a_run_without_a_network_says_so_when_one_is_asked_for(tmp_path: Path) -> None:
    with write_shard(tmp_path / "of.h5", "frozen-of", {}) as shard:
        for number in range(4):
            shard.store(f"{number}", np.full((4, 3), number % 2, np.float32))
    clips, fields = [Clip(f"{n}", "", "ab"[n % 2]) for n in range(4)], {"of": stp.ClipFields(tmp_path / "of.h5")}
    run = svm.METHOD.run(RunName("of", "svm", 1), "svm", ("a", "b"), {})
    recogniser = svm.METHOD.fit(Task(run, clips, fields, CPU, Session(tmp_path / "log.csv")))
    recogniser.save(tmp_path / "model.pt", TrainedOn())
    loaded = stp.load_run(tmp_path)
    assert loaded.recogniser.scores(["1"], fields, Views(), CPU).argmax() == 1
    for ask in (lambda: loaded.network, lambda: loaded.sampler, lambda: loaded.predict("a.mp4")):
        with pytest.raises(stp.UserError, match=r"model.pt: a run of 'svm', which has no network"):
            ask()
