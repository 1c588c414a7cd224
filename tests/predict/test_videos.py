"""`stp predict`: a clip gets the scores that `stp score` gives it; windows, several runs, bad videos and overlays."""

import json
import logging
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from stp.cli.app import app
from stp.config import Fusion, FusionSpace, StorageFormat, Views
from stp.data.index import Clip, write_index
from stp.data.joint import input_fields
from stp.data.shards import RAW, ClipFields, write_shard
from stp.errors import UserError
from stp.evaluation.scores import Scores, fuse
from stp.extraction.pairs import FlowSettings
from stp.extraction.stages import extract_flow, extract_frames
from stp.methods.network import NetworkRecogniser
from stp.predict.ensemble import find_models, load_ensemble, run_scores
from stp.predict.overlay import BAR, draw, nearest_window, write_overlay
from stp.predict.videos import VideoPrediction, predict_video
from stp.predict.windows import Window, pieces, windows
from stp.sampling.loading import open_fields
from stp.system.devices import Compute
from stp.training.model_file import TrainedOn
from stp.training.scoring import score
from stp.video.checking import check_video
from stp.video.decoding import VideoFacts, even_times
from tests import tiny_resnet
from tests.runs import make_run, pyramid_network, read_run, untrained, with_random_classifiers

CPU = torch.device("cpu")
CLASSES = ("down", "up", "left")
WIDTH, HEIGHT, RATE, BOUND = 60, 40, 10.0, 6.0
TINY: dict[str, Any] = {"backbone": "convnet", "weights": "none", "width": 0.25, "input_size": 24, "partial_bn": False}
FUSION = Fusion(weights={"rgb": 1.0, "of": 1.5, "wof": 0.5})


def write_video(path: Path, frames: int, seed: int, width: int = 80, height: int = 60) -> Path:
    """A texture under a moving camera."""
    noise = np.random.default_rng(seed).integers(0, 256, (height + frames, width + 2 * frames, 3)).astype(np.uint8)
    canvas = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), np.empty(0), 0, 255, cv2.NORM_MINMAX)
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), RATE, (width, height))
    for t in range(frames):
        video.write(canvas[t : t + height, 2 * t : 2 * t + width])
    video.release()
    return path


class Data(NamedTuple):
    """A data set of three clips, one with boxes of people and one of a single frame, and runs of folds 1 and 2."""

    clips: list[Clip]
    fields: dict[str, ClipFields]
    runs: Path

    def model(self, modality: str, fold: int = 1) -> Path:
        return self.runs / modality / "2-level" / f"fold{fold}" / "seed0" / "model.pt"


def make_data(folder: Path, storage: StorageFormat, modalities: tuple[str, ...], folds: tuple[int, ...]) -> Data:
    folder.mkdir(exist_ok=True)
    lengths = {"a": 27, "b": 9, "c": 1}
    clips = [Clip(name, str(write_video(folder / f"{name}.avi", n, n)), "up") for name, n in lengths.items()]
    boxes = folder / "a.boxes.csv"
    boxes.write_text("frame,x0,y0,x1,y1\n" + "".join(f"{t},5,5,45,50\n" for t in range(27)))
    clips[0] = Clip("a", clips[0].path, "up", boxes=str(boxes))
    checked = [clip for clip in map(check_video, clips) if isinstance(clip, Clip)]
    files = {name: folder / f"{name}.h5" for name in ("rgb", "of", "wof")}
    extract_frames(tuple(checked), files["rgb"], WIDTH, HEIGHT, storage)
    settings = FlowSettings("numba", detector="orb")
    extract_flow(files["rgb"], files["of"], files["wof"], settings, BOUND, 1, storage)
    data = Data(checked, {name: ClipFields([path]) for name, path in files.items()}, folder / "runs")
    for modality in modalities:
        for fold in folds:
            save_model(data, modality, fold)
    return data


def save_model(data: Data, modality: str, fold: int = 1, path: Path | None = None, **changes: Any) -> Path:
    name = f"{modality}/{changes.get('method', '2-level')}/fold{fold}/seed0"
    run = make_run(name, changes.get("classes", CLASSES), **TINY)
    fields = changes["fields"] if "fields" in changes else data.fields[modality].parameters
    torch.manual_seed(10 * fold + len(modality))
    recogniser = untrained(run)
    torch.nn.init.normal_(pyramid_network(recogniser).classifier.weight)
    path = path or data.model(modality, fold)
    recogniser.save(path, TrainedOn(["x"], fields and {modality: fields}))
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return make_data(tmp_path_factory.mktemp("data"), RAW, ("rgb", "of", "wof"), (1, 2))


def scored(data: Data, model: Path, segments: int, crops: int) -> Scores:
    """What `stp score` says of all clips."""
    recogniser, names = read_run(model), tuple(clip.clip for clip in data.clips)
    run, views = recogniser.run, Views(segments, crops)
    values = recogniser.scores(names, {run.name.input: data.fields[run.name.input]}, views, Compute(CPU))
    return Scores(run.name, run.classes, names, np.zeros(len(names), np.int64), values)


def stp_predict(*arguments: object, status: int = 0) -> str:
    result = CliRunner().invoke(app, ["predict", *map(str, arguments), "--threads", "1", "--device", "cpu"])
    if isinstance(result.exception, UserError):
        raise result.exception
    assert result.exit_code == status, result.exception
    return result.stdout


@pytest.mark.parametrize("modality", ["rgb", "of", "wof"])
def test_a_clip_of_the_data_set_gets_exactly_its_scores(data: Data, modality: str) -> None:
    ensemble = load_ensemble([data.model(modality)], FUSION, Views(25, 10), CPU)
    expected = scored(data, data.model(modality), 25, 10).video_scores()
    for clip, row in zip(data.clips, expected, strict=True):
        prediction = predict_video(ensemble, Path(clip.path), CPU)
        assert np.array_equal(prediction.probabilities, ensemble.probabilities({modality: [row[None]]})), clip.clip
    other = expected + np.float32(1e-5) * np.arange(3, dtype=np.float32)
    assert not np.array_equal(
        ensemble.probabilities({modality: [expected]}), ensemble.probabilities({modality: [other]})
    )


def test_a_sliding_pyramid_predicts_a_video_as_it_scores_the_clip(data: Data, tmp_path: Path) -> None:
    model = save_model(data, "of", path=tmp_path / "model.pt", method="aligned-2-level")
    ensemble = load_ensemble([model], FUSION, Views(5, 2), CPU)
    for clip, row in zip(data.clips, scored(data, model, 5, 2).video_scores(), strict=True):
        prediction = predict_video(ensemble, Path(clip.path), CPU)
        assert np.array_equal(prediction.probabilities, ensemble.probabilities({"of": [row[None]]})), clip.clip


VOLUMES: dict[str, Any] = {"backbone": "r2plus1d_18", "width": 0.1, "frames": 4}
METHODS: dict[str, dict[str, Any]] = {
    "rgb+of/tan": {"postures": 3, "shared_width": 16, "lstm_width": 8},
    "rgb+of/two_stream_fusion": {"frames": 3},
    "rgb+wof/multiplier_net": {"backbone": tiny_resnet.NAME, "width": 1.0, "frames": 2},
    "rgb+of/tpp": {"images": 5, "encoding": 8},
    "wof/two_stream": {},
    "of/dtpp": {"images": 5},
    "rgb/trn": {"images": 4, "reduced": 8},
    "of/tsm": {"frames": 4},
    "rgb/c3d": {"backbone": "c3d", "width": 0.1, "frames": 5, "initial": "he"},
    "rgb/stpp": VOLUMES | {"levels": [1, 2]},
    "of/r2plus1d": VOLUMES,
    "rgb/video_network": {"backbone": "torchvision/mc3_18", "width": 1.0, "frames": 2},
}
a_tiny_resnet = tiny_resnet.a_tiny_resnet


def save_method(data: Data, name: str, path: Path) -> NetworkRecogniser:
    """A run of a method with random weights, saved at `path`."""
    run = make_run(f"{name}/fold1/seed0", CLASSES, **TINY | METHODS[name])
    recogniser = with_random_classifiers(run)
    recogniser.save(path, TrainedOn(["x"], {name: data.fields[name].parameters for name in run.name.modalities}))
    return recogniser


@pytest.mark.parametrize("name", METHODS)
def test_a_methods_network_predicts_a_video_as_it_scores_the_clip(
    data: Data, tmp_path: Path, a_tiny_resnet: None, name: str
) -> None:
    recogniser, run_input = save_method(data, name, tmp_path / "model.pt"), name.split("/")[0]
    ensemble = load_ensemble([tmp_path / "model.pt"], FUSION, Views(3, 2), CPU)
    names = [clip.clip for clip in data.clips]
    expected = recogniser.scores(names, data.fields, Views(3, 2), Compute(CPU)).mean(1)
    assert np.ptp(expected, axis=0).min() > 0
    for clip, row in zip(data.clips, expected, strict=True):
        prediction = predict_video(ensemble, Path(clip.path), CPU)
        assert np.array_equal(prediction.probabilities, ensemble.probabilities({run_input: [row[None]]})), clip.clip


def test_jpeg_storage_of_frames_and_flow_is_repeated(tmp_path: Path) -> None:
    jpeg = make_data(tmp_path / "jpeg", StorageFormat("jpeg", 60), ("wof",), (1,))
    ensemble = load_ensemble([jpeg.model("wof")], FUSION, Views(3, 2), CPU)
    expected = scored(jpeg, jpeg.model("wof"), 3, 2).video_scores()
    prediction = predict_video(ensemble, Path(jpeg.clips[0].path), CPU)
    assert np.array_equal(prediction.probabilities, ensemble.probabilities({"wof": [expected[:1]]}))


@pytest.mark.parametrize("space", ["scores", "probabilities"])
def test_fused_streams_are_the_tables_fusion(data: Data, space: FusionSpace, tmp_path: Path) -> None:
    videos = [clip.path for clip in data.clips]
    weights = ",".join(f"{name}={weight}" for name, weight in FUSION.weights.items())
    options = ["--fuse", "--weights", weights, "--space", space, "--segments", 4, "--crops", 2]
    stp_predict(*videos, "--run", data.model("of").parent, *options, "--json", tmp_path / "p.json")
    content = json.loads((tmp_path / "p.json").read_text())
    fused = fuse([scored(data, data.model(name), 4, 2) for name in ("rgb", "of", "wof")], replace(FUSION, space=space))
    if space == "scores":
        fused = np.exp(fused) / np.exp(fused).sum(1, keepdims=True)
    for video, row in zip(content["videos"], fused, strict=True):
        assert list(video["windows"][0]["probabilities"].values()) == pytest.approx(row, rel=1e-6)
    assert [run["run"] for run in content["runs"]] == [f"{name}/2-level/fold1/seed0" for name in ("rgb", "of", "wof")]
    assert content["fields"]["bound"] == BOUND
    assert "torch" in content["versions"]


def test_folds_of_a_stream_are_averaged(data: Data) -> None:
    found = find_models([data.runs / "rgb", data.model("rgb", 2)])
    assert found == [data.model("rgb", 1), data.model("rgb", 2)]
    ensemble = load_ensemble(found, FUSION, Views(3, 1), CPU)
    mean = np.mean([scored(data, path, 3, 1).video_scores()[0] for path in found], axis=0)
    prediction = predict_video(ensemble, Path(data.clips[0].path), CPU)
    exponentials = np.exp(mean - mean.max())
    assert prediction.probabilities[0] == pytest.approx(exponentials / exponentials.sum(), rel=1e-5)


def test_fuse_takes_the_streams_of_the_same_fold_and_seed(data: Data, tmp_path: Path) -> None:
    assert set(find_models([data.model("of", 2)], fuse=True)) == {data.model(name, 2) for name in data.fields}
    assert len(find_models([data.runs / "of"], fuse=True)) == 6
    alone = save_model(data, "of", path=tmp_path / "runs/of/2-level/fold1/seed0/model.pt")
    with pytest.raises(UserError, match="--fuse: no other stream beside"):
        find_models([alone], fuse=True)
    with pytest.raises(UserError, match=r"--fuse: .* is not at runs/INPUT/METHOD/foldN/seedS"):
        find_models([save_model(data, "of", path=tmp_path / "copied.pt")], fuse=True)


@pytest.mark.parametrize("name", ["rgb/2-level", "of/2-level", "rgb/c3d", "of/r2plus1d", "rgb+of/tan"])
def test_a_window_is_predicted_as_the_clip_cut_to_it(data: Data, name: str, tmp_path: Path) -> None:
    """Also where windows are shorter than a segment, and where features are shared across windows."""
    rng, (run_input, method) = np.random.default_rng(0), name.split("/")
    frames, times = 60, even_times(60, 10.0)
    chosen = windows(times, 1.2, 0.3) + windows(times, 2.5, 1.0)
    clips = [f"{number}" for number in range(len(chosen))]
    made: dict[str, ClipFields] = {}
    for modality in run_input.split("+"):
        channels, lost = data.fields[modality]["a"].shape[1], 0 if modality == "rgb" else 1
        stored = rng.integers(0, 256, (frames - lost, channels, HEIGHT, WIDTH)).astype(np.uint8)
        with write_shard(tmp_path / f"{modality}.h5", modality, {}) as shard:
            shard.write("whole", stored)
            for clip, window in zip(clips, chosen, strict=True):
                shard.write(clip, stored[window.first : window.first + window.frames - lost])
        made[modality] = ClipFields([tmp_path / f"{modality}.h5"])
    fields, path = input_fields(made, run_input), data.model(run_input)
    if method != "2-level":
        path = tmp_path / "model.pt"
        save_method(data, name, path)
    [model] = load_ensemble([path], FUSION, Views(5, 2), CPU).models
    with torch.inference_mode():
        source = open_fields(fields, ["whole"], CPU, columns=model.scorer.sampler.columns)
        together = run_scores(model, source, "whole", chosen, frames, Views(5, 2))
    alone = score(model.scorer, "alone", fields, clips, Views(5, 2), Compute(CPU)).mean(1)
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-4 * np.abs(alone).max())
    assert len({tuple(row) for row in alone}) == len({(w.first, w.frames) for w in chosen})


@given(st.integers(1, 400), st.floats(5, 60), st.floats(0.05, 12), st.floats(0.01, 6), st.integers(2, 300))
def test_windows_cover_the_video(frames: int, rate: float, length: float, stride: float, most: int) -> None:
    found = windows(even_times(frames, rate), length, stride)
    for window in found:
        assert window.frames in (2, frames) or abs(window.frames - length * rate) < 1 + 0.002 * rate
    firsts = [window.first for window in found]
    assert firsts == sorted(set(firsts))
    assert (firsts[0], firsts[-1] + found[-1].frames) == (0, frames)
    # No step is longer than asked for, and only the last may be shorter.
    steps = np.diff(firsts)
    assert (steps <= max(1, stride * rate) + 1).all()
    assert (steps[:-1] >= max(1, stride * rate) - 1).all()
    divided = list(pieces(found, most))
    assert [window for piece in divided for window in piece] == found
    assert all(len(piece) == 1 or piece[-1].first + piece[-1].frames - piece[0].first <= most for piece in divided)


def test_a_timeline_is_written_as_csv_json_and_figure(data: Data, tmp_path: Path) -> None:
    video = data.clips[0].path
    written = [tmp_path / name for name in ("p.csv", "p.json", "p.png")]
    options = ["--segments", 2, "--crops", 1, "--window", 1, "--stride", 0.5]
    files = ["--csv", written[0], "--json", written[1], "--figure", written[2]]
    table = stp_predict(video, "--run", data.model("rgb"), *options, *files)
    rows = pd.read_csv(written[0])
    assert list(rows.columns) == ["video", "start_seconds", "end_seconds", "predicted", *CLASSES]
    assert list(rows["start_seconds"]) == [0.0, 0.5, 1.0, 1.5, 1.7]
    assert list(rows["end_seconds"]) == [1.0, 1.5, 2.0, 2.5, 2.7]
    assert rows[list(CLASSES)].sum(axis=1).to_numpy() == pytest.approx(1)
    assert list(rows["predicted"]) == [CLASSES[i] for i in rows[list(CLASSES)].to_numpy().argmax(1)]
    content = json.loads(written[1].read_text())
    listed = [list(window["probabilities"].values()) for window in content["videos"][0]["windows"]]
    assert rows[list(CLASSES)].to_numpy() == pytest.approx(np.array(listed), rel=1e-6)
    assert (content["window"], content["stride"], content["videos"][0]["rate"]) == (1, 0.5, RATE)
    assert cv2.imread(str(written[2])) is not None
    lines = table.splitlines()
    assert "0.50-1.50" in lines[3]
    best = rows.iloc[1]
    assert f"{best['predicted']} {best[best['predicted']]:.1%}" in lines[3]


def test_bad_videos_are_named_and_the_others_go_on(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    broken, boxed = tmp_path / "broken.avi", write_video(tmp_path / "boxed.avi", 5, 0)
    broken.write_bytes(b"no video")
    (tmp_path / "boxed.boxes.csv").write_text("frame,x,y\n")
    videos = [broken, tmp_path / "none.avi", boxed, data.clips[1].path]
    with caplog.at_level(logging.INFO), pytest.raises(UserError, match=r"^3 of 4 videos cannot be used"):
        stp_predict(*videos, "--run", data.model("wof"), "--segments", 2, "--crops", 1, "--json", tmp_path / "p.json")
    content = json.loads((tmp_path / "p.json").read_text())
    assert [video["video"] for video in content["videos"]] == [data.clips[1].path]
    assert [bad["video"] for bad in content["skipped"]] == [str(path) for path in videos[:3]]
    assert content["skipped"][1]["reason"] == "no such file"
    assert any(line.startswith(f"skipped {broken}: cannot be opened as a video") for line in caplog.messages)
    assert list(scratch.iterdir()) == []


def test_of_a_folder_all_videos_below_it_are_predicted(
    data: Data, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("b", "a", "deep/a", ".hidden/x"):
        (tmp_path / "videos" / name).parent.mkdir(parents=True, exist_ok=True)
        write_video(tmp_path / f"videos/{name}.avi", 5, 1)
    (tmp_path / "videos/deep/loop").symlink_to(tmp_path / "videos")
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images/1.png"), np.zeros((40, 60, 3), np.uint8))
    run = ("--run", data.model("rgb"), "--segments", 2, "--crops", 1)
    stp_predict(tmp_path / "videos", data.clips[1].path, *run, "--json", tmp_path / "p.json")
    names = [video["video"] for video in json.loads((tmp_path / "p.json").read_text())["videos"]]
    below = [str(tmp_path / f"videos/{name}.avi") for name in ("a", "b", "deep/a")]
    assert names == [*below, data.clips[1].path]
    with pytest.raises(UserError, match=r"^1 of 2 videos cannot be used"):
        stp_predict(tmp_path / "images", data.clips[1].path, *run)
    assert f"skipped {tmp_path / 'images'}: the folder holds no videos" in caplog.messages
    assert f"{tmp_path / 'images'}: images are no video; make one of them to have it predicted" in caplog.messages
    with pytest.raises(UserError, match=r"^VIDEO: there is no video in .*images"):
        stp_predict(tmp_path / "images", *run)
    with pytest.raises(UserError, match=r"^--overlay: draws on one video, but 3 are given"):
        stp_predict(tmp_path / "videos", *run, "--overlay", tmp_path / "x.mp4")


def test_a_video_in_no_index_is_explained_as_the_stored_clip_is(data: Data, tmp_path: Path) -> None:
    results, video = data.runs.parent, tmp_path / "new.avi"
    shutil.copy(data.clips[0].path, video)
    shutil.copy(data.clips[0].boxes, tmp_path / "new.boxes.csv")
    clips = [replace(clip, label=label) for clip, label in zip(data.clips, CLASSES, strict=True)]
    write_index(tmp_path / "index.csv", clips)
    words = ["explain", "a", str(video), "--segments", "2", "--crops", "1"]
    words += ["--index", str(tmp_path / "index.csv"), "--class", "left", "--device", "cpu", "-o", str(tmp_path / "out")]
    words += [word for name in ("rgb", "of", "wof") for word in ("--clips", str(results / f"{name}.h5"))]
    words += [word for name in ("rgb", "wof") for word in ("--run", str(data.model(name)))]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.exception
    images = [np.asarray(cv2.imread(str(tmp_path / f"out/{name}.png"))) for name in ("a", "new")]
    below = int(images[0].shape[0] * 0.1)  # the title names the clip
    left = int(images[0].shape[1] * 0.25)  # beside the words
    assert np.array_equal(images[0][below:, left:], images[1][below:, left:])
    assert len(np.unique(images[0][below:, left:])) > 50


def test_a_video_alone_is_explained_by_the_class_predicted_without_an_index(data: Data, tmp_path: Path) -> None:
    video = write_video(tmp_path / "alone.avi", 9, 5)
    words = ["explain", str(video), "--segments", "1", "--crops", "1", "--device", "cpu", "-o", str(tmp_path / "out")]
    copied = save_model(data, "of", path=tmp_path / "copied.pt")
    result = CliRunner().invoke(app, [*words, "--run", str(copied)])
    assert result.exit_code == 0, result.exception
    assert {path.name for path in (tmp_path / "out").iterdir()} == {f"alone.{kind}" for kind in ("png", "pdf", "mp4")}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("absent.avi", "CLIP: 'absent.avi' is neither a video that exists nor the id of a clip of"),
        ("folder", "CLIP: 'folder' is a folder; name videos"),
        ("zz", "clip 'zz' is not in"),
        ("broken.avi", "broken.avi: cannot be opened as a video"),
        ("twice", "CLIP: 'folder/b.avi' and another clip would both be written to b"),
    ],
)
def test_what_cannot_be_explained_is_named(
    name: str, words: str, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_index(tmp_path / "index.csv", data.clips)
    (tmp_path / "folder").mkdir()
    write_video(tmp_path / "folder/b.avi", 2, 0)
    (tmp_path / "broken.avi").write_text("no video")
    named = ["b", "folder/b.avi"] if name == "twice" else [name]
    clips = ["--index", "index.csv", "--clips", str(data.runs.parent / "rgb.h5")]
    result = CliRunner().invoke(app, ["explain", *named, "--run", str(data.model("rgb")), *clips, "-o", "out"])
    assert isinstance(result.exception, UserError)
    assert words in str(result.exception)


def test_runs_that_do_not_belong_together_are_refused(data: Data, tmp_path: Path) -> None:
    old = save_model(data, "rgb", path=tmp_path / "old.pt", fields=None)
    with pytest.raises(UserError, match=r"old.pt: does not say how the fields it was trained on were made; train it"):
        load_ensemble([old], FUSION, Views(3, 1), CPU)
    first = save_model(data, "first", path=tmp_path / "first.pt", fields=data.fields["rgb"].parameters)
    with pytest.raises(UserError, match=r"--run: .*first.pt sees first-person video; give a run that sees the clips"):
        load_ensemble([first], FUSION, Views(3, 1), CPU)
    by_hand = save_model(data, "of", path=tmp_path / "hand.pt", fields={"bound": 20})
    with pytest.raises(UserError, match=r"hand.pt: its flow does not say how its frames were made"):
        load_ensemble([by_hand], FUSION, Views(3, 1), CPU)
    small = {**data.fields["of"].parameters, "bound": 3.0}
    other = save_model(data, "of", path=tmp_path / "bound.pt", fields=small)
    with pytest.raises(UserError, match="were trained on flow made differently"):
        load_ensemble([data.model("wof"), other], FUSION, Views(3, 1), CPU)
    mixed = save_model(data, "of", path=tmp_path / "variant.pt", method="baseline")
    with pytest.raises(UserError, match=r"variant.pt has other variant than .*: baseline, 2-level"):
        load_ensemble([data.model("of"), mixed], FUSION, Views(3, 1), CPU)
    foreign = save_model(data, "of", path=tmp_path / "classes.pt", classes=("a", "b"))
    with pytest.raises(UserError, match=r"classes.pt has other classes than"):
        load_ensemble([data.model("of"), foreign], FUSION, Views(3, 1), CPU)
    with pytest.raises(UserError, match="--weights: no weight for of"):
        load_ensemble([data.model("of"), data.model("rgb")], Fusion(weights={"rgb": 1.0}), Views(3, 1), CPU)
    with pytest.raises(UserError, match="flow backend: 'opencv-cuda' computes the semantics opencv-cuda"):
        load_ensemble([data.model("of")], FUSION, Views(3, 1), CPU, "opencv-cuda")


def test_mistakes_are_found_before_anything_is_computed(data: Data, tmp_path: Path) -> None:
    video, run = data.clips[0].path, ("--run", data.model("rgb"))
    (tmp_path / "there.csv").write_text("mine")
    cases = [
        ([video, *run, "--csv", tmp_path / "there.csv"], r"^--csv: '.*there.csv' exists; move it away"),
        ([video, *run, "--csv", tmp_path / "x", "--json", tmp_path / "x"], "is named by another option, too"),
        ([video, *run, "--figure", tmp_path / "x.png"], "^--figure: needs windows over time; give --window"),
        ([*[video] * 101, *run, "--window", 1, "--figure", tmp_path / "x.png"], "^--figure: draws 100 videos at most"),
        ([video, *run, "--stride", 1], "^--stride: needs windows over time"),
        ([video, video, *run, "--overlay", tmp_path / "x.mp4"], "^--overlay: draws on one video, but 2 are given"),
        ([video, *run, "--crops", 3], "^--crops: 3 is none of 1, 2, 5, 10"),
        ([video, "--run", tmp_path / "nowhere"], "^--run: '.*nowhere' is no trained run"),
        ([video, "--run", tmp_path], "^--run: .* is no trained run; name a model.pt, or a folder"),
    ]
    for arguments, message in cases:
        with pytest.raises(UserError, match=message):
            stp_predict(*arguments)
    assert (tmp_path / "there.csv").read_text() == "mine"


def test_a_disk_that_is_too_small_is_told_before_it_is_full(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    ensemble = load_ensemble([data.model("wof")], FUSION, Views(3, 1), CPU)
    needed = (27 * 3 + 26 * 2 * 2) * WIDTH * HEIGHT  # frames, and two streams of flow
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": needed - 1})())
    with pytest.raises(UserError, match=r"need 0.4 MiB in '.*', where .* name another folder by .* TMPDIR"):
        predict_video(ensemble, Path(data.clips[0].path), CPU)


def test_an_overlay_is_the_video_with_its_classes(data: Data, tmp_path: Path) -> None:
    video = write_video(tmp_path / "clip.avi", 12, 3, 320, 240)
    options = ["--segments", 2, "--crops", 1, "--window", 0.6, "--overlay", tmp_path / "out.mp4"]
    stp_predict(video, "--run", data.model("rgb"), *options)
    shown, plain = (cv2.VideoCapture(str(path)) for path in (tmp_path / "out.mp4", video))
    assert shown.get(cv2.CAP_PROP_FPS) == pytest.approx(RATE)
    for _ in range(12):
        (ok, frame), (_, original) = shown.read(), plain.read()
        assert ok
        difference = np.abs(frame.astype(int) - original)
        assert difference[120:].mean() < 8
        assert difference[:40, :60].mean() > 30
    assert not shown.read()[0]


def test_an_overlay_of_odd_sides_gets_even_ones(tmp_path: Path) -> None:
    video = write_video(tmp_path / "clip.avi", 3, 0)
    times = even_times(3, RATE)
    facts = VideoFacts(3, 81, 61, RATE, times)  # OpenCV writes no such video to read
    prediction = VideoPrediction(video, facts, times, (Window(0, 3),), np.array([[0.7, 0.2, 0.1]]), 0.0)
    write_overlay(tmp_path / "out.mp4", prediction, CLASSES)
    assert cv2.VideoCapture(str(tmp_path / "out.mp4")).read()[1].shape == (62, 82, 3)


@pytest.mark.parametrize(("width", "height"), [(320, 240), (1920, 1080), (120, 400), (64, 48)])
def test_bars_are_as_long_as_probabilities_are_high(width: int, height: int) -> None:
    def orange(probabilities: list[float]) -> int:
        image = np.full((height, width, 3), 128, np.uint8)
        draw(image, np.array(probabilities), ("a long name of a class", "pointing", "Zurückgeben", "d"), "1.0 - 2.0 s")
        assert (image[:, -2:] != 0).all()
        assert (image[height // 2 + 60 :] == 128).all()
        return int((image == BAR).all(2).sum())

    whole = orange([1.0, 0, 0, 0])
    assert whole > 40
    assert orange([0.6, 0.2, 0.1, 0.1]) / whole == pytest.approx(0.9, abs=0.2)
    assert orange([0.5, 0, 0, 0]) / whole == pytest.approx(0.5, abs=0.15)


def test_a_frame_shows_the_window_around_it() -> None:
    times = even_times(20, RATE)
    chosen = (Window(0, 10), Window(5, 10), Window(10, 10))
    prediction = VideoPrediction(Path("a.mp4"), VideoFacts(20, 8, 6, RATE, times), times, chosen, np.zeros((3, 2)), 0.0)
    assert [nearest_window(prediction, t) for t in (0, 7, 8, 12, 13, 19)] == [0, 0, 1, 1, 2, 2]


def test_windows_have_the_frames_that_are_shown_in_their_seconds() -> None:
    # 60 frames in the first second, then one every quarter of a second.
    times = (*(number / 60 for number in range(60)), *(1 + number / 4 for number in range(21)))
    found = windows(times, 1.0, 1.0)
    assert [(times[w.first], times[w.first + w.frames]) for w in found] == [(t, t + 1) for t in range(6)]
    assert [w.frames for w in found] == [60, 4, 4, 4, 4, 4]


def test_a_window_within_one_long_frame_has_that_frame_and_the_next() -> None:
    assert windows((0.0, 0.1, 3.0, 3.1, 3.2), 0.5, 1.0)[1:3] == [Window(1, 2), Window(2, 2)]
