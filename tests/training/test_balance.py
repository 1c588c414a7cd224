"""Classes of different sizes: what is drawn, what counts in the loss, and that nothing changes without the key."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from stp.data.index import Clip
from stp.data.shards import ClipFields, write_shard
from stp.methods import svm
from stp.sampling.samples import class_weights, draw_epoch
from stp.system.devices import Compute
from stp.training.loop import Training, train
from stp.training.run import Run
from stp.training.session import Session
from tests.runs import make_run, plan_of

CLASSES = ("common", "rare")
CLIPS = [Clip(f"{label}/{i}", "", label) for label, number in zip(CLASSES, (16, 4), strict=True) for i in range(number)]


def run(**changes: object) -> Run:
    stream = {"epochs": 2, "milestones": [], "learning_rate": 0.05, "dropout": 0.0, "scales": [1]}
    tiny = {"backbone": "convnet", "weights": "none", "width": 0.5, "input_size": 32, "batch_videos": 4}
    return make_run("of/baseline/fold1/seed0", CLASSES, **tiny, partial_bn=False, flow=stream, **changes)


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> ClipFields:
    path = tmp_path_factory.mktemp("clips") / "0.h5"
    rng = np.random.default_rng(0)
    with write_shard(path, "of", {"bound": 20}) as shard:
        for clip in CLIPS:
            shard.write(clip.clip, rng.integers(0, 255, (8, 2, 36, 48)).astype(np.uint8))
    return ClipFields([path])


def drawn(fields: ClipFields, epochs: int, **changes: object) -> Counter[str]:
    """How often the clips of each class are drawn."""
    rng, drawing = np.random.default_rng(1), plan_of(run(**changes)).drawing()
    names: Counter[str] = Counter()
    for _ in range(epochs):
        for batch in draw_epoch(drawing, fields, CLIPS, CLASSES, rng):
            labels = [CLASSES[label] for label in batch.labels]
            assert labels == [sample.clip.split("/")[0] for sample in batch.samples]
            names.update(labels)
    return names


@pytest.mark.parametrize(("power", "expected"), [(1, [0.625, 2.5]), (0.5, [0.25 / 0.3, 0.5 / 0.3])])
def test_a_clip_weighs_by_the_inverse_power_of_its_classs_size_and_1_in_the_mean(
    power: float, expected: list[float]
) -> None:
    labels = np.array([0] * 16 + [1] * 4)
    weights = class_weights(labels, 2, power)
    assert weights == pytest.approx(expected)
    assert weights[labels].mean() == pytest.approx(1)
    assert class_weights(labels, 3, power)[2] == 0


@pytest.mark.parametrize(("power", "share"), [(1, 1 / 2), (0.5, 1 / 3)])
def test_sampling_draws_classes_equally_often_or_by_the_roots_of_their_sizes(
    fields: ClipFields, power: float, share: float
) -> None:
    found = drawn(fields, 200, balance="sampling", balance_power=power)
    assert found.total() == 200 * 20
    assert found["rare"] / found.total() == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize("balance", ["none", "loss"])
def test_without_sampling_an_epoch_has_every_clip_once(fields: ClipFields, balance: str) -> None:
    assert drawn(fields, 3, balance=balance) == {"common": 48, "rare": 12}


def test_the_loss_is_the_weighted_mean_of_the_videos_losses() -> None:
    torch.manual_seed(0)
    training = Training(plan_of(run(balance="loss", balance_power=1)), Compute(torch.device("cpu")))
    images, labels = torch.randint(0, 255, (4, 3, 1, 10, 32, 32)).float(), torch.tensor([0, 0, 0, 1])
    weights = training.plan.loss_weights(CLIPS)
    assert weights is not None
    assert weights.tolist() == pytest.approx([0.625, 2.5])
    scores = training.network.train().scores(training.network.features(images, 0).float()).mean(1)
    each = F.cross_entropy(scores, labels, reduction="none")
    expected = (0.625 * each[:3].sum() + 2.5 * each[3]) / 4
    loss, _ = training.step(images, labels, weights)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def trained(fields: ClipFields, folder: Path, **changes: object) -> dict[str, torch.Tensor]:
    network = train(plan_of(run(**changes)), fields, CLIPS, Compute(torch.device("cpu")), Session(folder / "log.csv"))
    return network.state_dict()


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("balance", ["sampling", "loss"])
def test_a_balanced_training_repeats_and_is_another_one(fields: ClipFields, tmp_path: Path, balance: str) -> None:
    first = trained(fields, tmp_path, balance=balance)
    assert same(first, trained(fields, tmp_path, balance=balance))
    assert not same(first, trained(fields, tmp_path))
    assert not same(first, trained(fields, tmp_path, balance=balance, balance_power=0.5))


def test_runs_without_balancing_are_recorded_as_before() -> None:
    settings = run().values()["settings"]
    assert "balance" not in json.dumps(settings)
    settings = run(balance="loss").values()["settings"]
    assert (settings["balance"], settings["balance_power"]) == ("loss", 1)


def test_errors_of_rare_classes_count_more_in_a_balanced_svm() -> None:
    """Two classes that overlap, one of which is rare: the plain machine gives it up."""
    rng = np.random.default_rng(0)
    labels = np.array([0] * 200 + [1] * 10)
    vectors = rng.normal(labels[:, None] * 1.0, 1.0, (210, 1))
    recalls = [
        (
            svm.classifier(svm.SvmOptions(balance=balance), 0).fit(vectors, labels).predict(vectors)[labels == 1] == 1
        ).mean()
        for balance in ("none", "loss")
    ]
    assert recalls[0] < 0.2
    assert recalls[1] > 0.5
