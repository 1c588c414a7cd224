"""Training and scoring of tiny runs: they learn, repeat exactly, and score as the plain definition says."""

import copy
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from stp.config import Compilation, Views
from stp.data.index import Clip
from stp.data.shards import ClipFields, write_shard
from stp.errors import UserError
from stp.methods import Task, dtpp, pyramid, r2plus1d, tan, tsm, two_stream_fusion
from stp.models.pyramid import TemporalPyramidNetwork
from stp.sampling.crops import fixed_crops
from stp.sampling.loading import open_fields, room_for_fields, step_bytes
from stp.sampling.samples import draw_epoch, scored_segments
from stp.sampling.segments import even_starts, subsegment_fields
from stp.system.devices import Compute
from stp.training.log import LOG_COLUMNS, EpochTally, log_row
from stp.training.loop import PICTURES_WORTH_COMPILING, Training, compiles, pictures_of_step, train
from stp.training.model_file import TrainedOn
from stp.training.run import Run
from stp.training.scoring import Scorer
from stp.training.session import Session
from tests.plain import cut
from tests.runs import make_run, plan_of, pyramid_network, read_run, untrained

CPU = Compute(torch.device("cpu"))


def tiny_run(name: str = "of/3-level/fold1/seed0", classes: tuple[str, ...] = ("up", "down"), **changes: object) -> Run:
    tiny = {
        "backbone": "convnet",
        "weights": "none",
        "width": 0.5,
        "input_size": 32,
        "batch_videos": 4,
        "partial_bn": False,
        "rgb": {"epochs": 8, "milestones": [], "learning_rate": 0.05, "dropout": 0.0, "scales": [1]},
        "flow": {"epochs": 8, "milestones": [], "learning_rate": 0.05, "dropout": 0.0, "scales": [1]},
    }
    return make_run(name, classes, **tiny | changes)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> tuple[ClipFields, list[Clip]]:
    """Flow of 12 clips: class `up` moves up, `down` moves down; lengths around that of a segment."""
    path = tmp_path_factory.mktemp("clips") / "0.h5"
    rng = np.random.default_rng(0)
    rows = []
    with write_shard(path, "of", {"bound": 20}) as shard:
        for i in range(12):
            label = ("up", "down")[i % 2]
            fields = rng.integers(118, 139, (1 + 5 * i, 2, 36, 48)).astype(np.uint8)
            fields[:, 1] += np.uint8(60) if label == "down" else np.uint8(0)
            shard.write(f"{label}/{i}", fields)
            rows.append(Clip(f"{label}/{i}", "", label))
    return ClipFields([path]), rows


def trained(
    clips: tuple[ClipFields, list[Clip]], folder: Path, variant: str = "3-level", seed: int = 0, **changes: Any
) -> Run:
    run = tiny_run(f"of/{variant}/fold1/seed{seed}", **changes)
    fields, rows = clips
    recogniser = pyramid.METHOD.fit(Task(run, rows, {"of": fields}, CPU, Session(folder / "log.csv")))
    recogniser.save(folder / "model.pt", TrainedOn())
    return run


def loss_of_epochs(run: Run, clips: tuple[ClipFields, list[Clip]], folder: Path, compute: Compute = CPU) -> list[float]:
    train(plan_of(run), *clips, compute, Session(folder / "log.csv"))
    return list(pd.read_csv(folder / "log.csv")["loss"])


def test_training_learns_and_logs(clips: tuple[ClipFields, list[Clip]], tmp_path: Path) -> None:
    trained(clips, tmp_path)
    log = [line.split(",") for line in (tmp_path / "log.csv").read_text().splitlines()]
    assert tuple(log[0]) == (*LOG_COLUMNS, "check")
    assert [row[0] for row in log[1:]] == [str(epoch) for epoch in range(1, 9)]
    assert float(log[-1][1]) < float(log[1][1]) / 2
    fields, rows = clips
    names = [clip.clip for clip in rows]
    values = read_run(tmp_path / "model.pt").scores(names, {"of": fields}, Views(3, 2), CPU)
    assert values.shape == (12, 3, 2)
    assert values.dtype == np.float32
    assert [("up", "down")[number] for number in values.mean(1).argmax(1)] == [clip.label for clip in rows]


@pytest.mark.parametrize("backbone", ["torchvision/resnet18", "test_resnet"])
def test_networks_of_torchvision_and_timm_train_on_flow(
    clips: tuple[ClipFields, list[Clip]], tmp_path: Path, backbone: str
) -> None:
    stream = {"epochs": 2, "milestones": [], "learning_rate": 0.01, "dropout": 0.5, "scales": [1]}
    run = trained(clips, tmp_path, "1-level", backbone=backbone, width=1.0, flow=stream)
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 3
    recogniser = read_run(tmp_path / "model.pt")
    assert recogniser.run == run
    values = recogniser.scores([clip.clip for clip in clips[1][:3]], {"of": clips[0]}, Views(2, 1), CPU)
    assert np.isfinite(values).all()
    initial = pyramid.build(run).state_dict()
    first = next(name for name in initial if name.endswith("conv1.weight") or name.endswith("conv1.0.weight"))
    assert initial[first].shape[1] == 10
    assert not torch.equal(recogniser.scorer.network.state_dict()[first], initial[first])


def test_training_repeats_exactly_and_depends_on_the_seed(clips: tuple[ClipFields, list[Clip]], tmp_path: Path) -> None:
    weights = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        (tmp_path / name).mkdir()
        trained(clips, tmp_path / name, "baseline", seed)
        weights.append(pyramid_network(read_run(tmp_path / name / "model.pt")).classifier.weight)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize("variant", ["baseline", "3-level", "4-level"])
def test_scores_equal_the_plain_definition(clips: tuple[ClipFields, list[Clip]], variant: str) -> None:
    """Every segment and crop through the whole network, one by one, gives the scores that sharing gives."""
    fields, rows = clips
    torch.manual_seed(0)
    recogniser = untrained(tiny_run(f"of/{variant}/fold1/seed0"))
    network, sampler = pyramid_network(recogniser), pyramid.sampler(recogniser.run)
    torch.nn.init.normal_(network.classifier.weight)
    chosen = rows[::4]
    shared = recogniser.scores([clip.clip for clip in chosen], {"of": fields}, Views(4, 10), CPU)
    for row, clip in enumerate(chosen):
        data = fields[clip.clip]
        starts = even_starts(len(data), 4, sampler.segment_length)
        for number, start in enumerate(starts):
            indices = subsegment_fields(start + np.array(sampler.subsegment_starts), 5, len(data))
            views = [cut(data, indices, crop, 32, True) for crop in fixed_crops(36, 48, 10)]
            with torch.inference_mode():
                plain = torch.stack([network(view[None, None])[0, 0] for view in views]).mean(0)
            assert np.allclose(shared[row, number], plain.numpy(), rtol=1e-4, atol=1e-4), (clip.clip, start)


def test_partial_batch_norm_survives_saving(tmp_path: Path) -> None:
    recogniser = untrained(tiny_run("rgb/baseline/fold1/seed0", ("a", "b"), partial_bn=True))
    recogniser.save(tmp_path / "model.pt", TrainedOn())
    again = read_run(tmp_path / "model.pt")
    assert again.run == recogniser.run
    image = torch.rand(1, 3, 1, 3, 32, 32) * 255
    assert torch.equal(recogniser.scorer.network(image), again.scorer.network(image))


def test_diverging_training_names_run_and_epoch(clips: tuple[ClipFields, list[Clip]], tmp_path: Path) -> None:
    wild = {"epochs": 4, "milestones": [], "learning_rate": 1e30, "dropout": 0.0, "scales": [1]}
    run = tiny_run("of/baseline/fold1/seed0", flow=wild)
    with pytest.raises(
        UserError, match=r"of/baseline/fold1/seed0: the loss is (nan|inf) in epoch \d; lower the stream"
    ):
        train(plan_of(run), *clips, CPU, Session(tmp_path / "log.csv"))
    assert not (tmp_path / "log.csv").exists()


def test_unknown_setting_is_refused() -> None:
    with pytest.raises(UserError, match=r"^options of method 'pyramid': rgb: unknown key 'epoch'; allowed are epochs"):
        tiny_run(rgb={"epoch": 3})
    with pytest.raises(UserError, match=r"^options of method 'pyramid': unknown key 'backbones'; allowed are backbone"):
        tiny_run(backbones="x")


def test_input_sizes_that_cannot_work_are_one_line() -> None:
    run = tiny_run("rgb/baseline/fold1/seed0", ("a", "b"), backbone="bninception", input_size=112)
    with pytest.raises(UserError, match=r"model.input_size: 112 does not suit bninception; use a multiple of 32"):
        pyramid.build(run)


def test_a_step_is_its_plain_statement() -> None:
    """SGD with momentum, weight decay, multipliers and a clipped gradient on the cross entropy of mean scores."""
    training = Training(plan_of(tiny_run(gradient_clip=0.01)), CPU)
    training.network.train()
    plain = copy.deepcopy(training.network)
    names = {id(parameter): name for name, parameter in training.network.named_parameters()}
    rates = {
        names[id(parameter)]: (group["lr"], group["weight_decay"])
        for group in training.optimiser.param_groups
        for parameter in group["params"]
    }
    images, labels = 255 * torch.rand(4, 3, 4, 10, 32, 32), torch.tensor([0, 1, 1, 0])
    velocity = {name: torch.zeros_like(plain.get_parameter(name)) for name in rates}
    for _ in range(2):
        loss = F.cross_entropy(plain(images).mean(1), labels)
        gradients = torch.autograd.grad(loss, [plain.get_parameter(name) for name in rates])
        norm = torch.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt()
        assert norm > 0.01
        assert training.step(images, labels)[0].item() == pytest.approx(loss.item(), rel=1e-5)
        with torch.no_grad():
            for (name, (rate, decay)), gradient in zip(rates.items(), gradients, strict=True):
                parameter = plain.get_parameter(name)
                velocity[name] = 0.9 * velocity[name] + 0.01 / (norm + 1e-6) * gradient + decay * parameter
                parameter.sub_(rate * velocity[name])
    for name in rates:
        torch.testing.assert_close(training.network.get_parameter(name), plain.get_parameter(name))


def test_dropout_is_on_features_and_in_training_only() -> None:
    class Ones(nn.Module):
        num_features = 1000

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.ones(len(images), self.num_features)

    network, seen = TemporalPyramidNetwork(Ones(), (1, 2, 4), 2, 0.7), []
    assert network.classifier.weight.std().item() == pytest.approx(0.001, rel=0.1)
    assert not network.classifier.bias.any()
    network.classifier.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    for mode in (True, False):
        network.train(mode)(torch.zeros(2, 3, 4, 10, 1, 1))
    assert (seen[0][..., 3000:] == 0).float().mean() == pytest.approx(0.7, abs=0.02)  # level 3: sub-segments themselves
    assert (seen[1] == 1).all()


def test_an_epochs_seconds_are_all_of_its_wall_time(
    clips: tuple[ClipFields, list[Clip]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drawing its samples, taking its rows and the last check of its weights count, too."""
    clock = [0.0]
    monkeypatch.setattr("stp.training.loop.time.perf_counter", lambda: clock[0])
    fields, rows = clips
    training = Training(plan_of(tiny_run()), CPU)
    draw, check = training.plan.sampler.draw, training._check_finite

    def slow_draw(*arguments: Any) -> np.ndarray:
        clock[0] += 1
        return draw(*arguments)

    def slow_check() -> None:
        clock[0] += 100
        check()

    monkeypatch.setattr(type(training.plan.sampler), "draw", lambda self, *arguments: slow_draw(*arguments))
    monkeypatch.setattr(training, "_check_finite", slow_check)
    source = open_fields(fields, [clip.clip for clip in rows], CPU.device)
    for row in training.steps(source, rows):
        if row:
            assert float(dict(zip(LOG_COLUMNS, row, strict=True))["seconds"]) == clock[0]
        clock[0] += 10  # whoever takes the row saves a state
    assert clock[0] == 12 * 1 + 100 + 3 * 10


def test_an_epoch_is_drawn_batch_by_batch_in_one_order(clips: tuple[ClipFields, list[Clip]]) -> None:
    fields, rows = clips
    plan = plan_of(tiny_run())
    whole, single = np.random.default_rng(3), np.random.default_rng(3)
    expected = list(draw_epoch(plan.drawing(), fields, rows, ("up", "down"), whole))
    epoch = draw_epoch(plan.drawing(), fields, rows, ("up", "down"), single)
    first = next(epoch)
    assert single.bit_generator.state != whole.bit_generator.state  # the others are not drawn yet
    for batch, same in zip([first, *epoch], expected, strict=True):
        assert [sample.clip for sample in batch.samples] == [sample.clip for sample in same.samples]
        for sample, other in zip(batch.samples, same.samples, strict=True):
            assert (sample.indices == other.indices).all()
            assert sample.crop == other.crop
    assert single.bit_generator.state == whole.bit_generator.state


def test_whoever_takes_features_does_not_compute_in_their_precision(clips: tuple[ClipFields, list[Clip]]) -> None:
    fields, rows = clips
    run = tiny_run(precision="bfloat16")
    scorer = Scorer(pyramid.build(run), run.options, plan_of(run).sampler).on(CPU.device)
    source = open_fields(fields, [rows[0].clip], CPU.device)
    segments = scored_segments(fields, rows[0].clip, scorer.sampler, Views(2, 1))
    taken = []
    for features in scorer.pass_backbone(source, segments.views):
        taken.append(features)
        assert not torch.is_autocast_enabled("cpu")
    assert taken


def test_a_step_of_384_images_leaves_nine_gigabytes_to_itself() -> None:
    compute = Compute(torch.device("cpu"))
    run = tiny_run(batch_videos=32, input_size=224)
    assert pictures_of_step(plan_of(run), compute) == 384  # 3 segments of 4 sub-segments
    assert step_bytes(384, 224) == 384 * 24 * 2**20
    assert step_bytes(384, 112) == step_bytes(96, 224)
    assert pictures_of_step(plan_of(run), replace(compute, micro_batch_videos=8)) == 96


@pytest.mark.parametrize(
    ("method", "pictures"), [(r2plus1d, 32), (two_stream_fusion, 5 * 2), (tan, 8 * 2), (tsm, 8), (dtpp, 25)]
)
def test_every_picture_of_a_sample_counts_in_memory_and_in_compilation(method: ModuleType, pictures: int) -> None:
    run_input = "rgb+of" if method in (two_stream_fusion, tan) else "of"
    backbone = "r2plus1d_18" if method is r2plus1d else "convnet"
    run = tiny_run(f"{run_input}/{method.__name__.rsplit('.', 1)[-1]}/fold1/seed0", backbone=backbone)
    plan = plan_of(run)
    assert pictures_of_step(plan, CPU) == 4 * pictures
    assert pictures_of_step(plan, replace(CPU, micro_batch_videos=1)) == pictures
    enough, gpu = -(-PICTURES_WORTH_COMPILING // (plan.epochs * pictures)), Compute(torch.device("cuda"))
    assert [compiles(plan, clips, gpu) for clips in (enough - 1, enough)] == [False, True]


@pytest.mark.parametrize(
    ("name", "method", "options", "largest"),
    [
        ("3-level", pyramid, {}, 128),
        ("r2plus1d", r2plus1d, {"frames": 32, "backbone": "r2plus1d_18", "width": 0.05}, 4),
        ("tsm", tsm, {"frames": 8}, 16),
    ],
)
def test_a_pass_has_at_most_128_pictures(
    clips: tuple[ClipFields, list[Clip]], name: str, method: ModuleType, options: dict[str, Any], largest: int
) -> None:
    fields, rows = clips
    run = tiny_run(f"of/{name}/fold1/seed0", **options)
    scorer = Scorer(method.build(run), run.options, method.sampler(run)).on(CPU.device)
    source = open_fields(fields, [rows[0].clip], CPU.device)
    view = scored_segments(fields, rows[0].clip, scorer.sampler, Views(1, 1)).views[0]
    many = replace(view, indices=np.repeat(view.indices[:1], 2 * largest + 1, axis=0))
    with torch.inference_mode():
        assert [len(features) for features in scorer.pass_backbone(source, [many])] == [largest, largest, 1]


def test_fields_take_their_share_but_nothing_that_computing_needs() -> None:
    assert room_for_fields(80, 0.6, 10) == 48
    assert room_for_fields(24, 0.6, 15) == 9
    assert room_for_fields(8, 0.6, 15) == 0


def test_a_row_of_the_log_is_what_its_columns_say() -> None:
    tally = EpochTally.empty(2)
    tally.add(1.0, np.array([0, 0, 1]), np.array([0, 1, 1]), 36, 2.0)
    tally.add(3.0, np.array([0]), np.array([1]), 12, 1.0)
    values = ("3", "1.50000", "0.5000", "0.05", "3.00", "16.0", "0.6667", "0")
    columns = (
        "epoch",
        "loss",
        "accuracy",
        "learning_rate",
        "seconds",
        "images_per_second",
        "class_accuracy",
        "gpu_mib",
    )
    assert dict(zip(LOG_COLUMNS, log_row(3, tally, 0.05, 0), strict=True)) == dict(zip(columns, values, strict=True))


def test_a_compiled_training_differs_by_rounding_only(
    clips: tuple[ClipFields, list[Clip]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = nn.Module.compile  # without inductor, whose compiler of C++ not every machine has
    monkeypatch.setattr(nn.Module, "compile", lambda self, **_: plain(self, backend="aot_eager"))

    def losses(compilation: Compilation) -> list[float]:
        short = {"epochs": 2, "milestones": [], "learning_rate": 0.05, "dropout": 0.5, "scales": [1]}
        run = tiny_run(flow=short, batch_videos=5)  # the last batch is smaller
        torch.compiler.reset()
        return loss_of_epochs(run, clips, tmp_path, replace(CPU, compilation=compilation))

    torch._dynamo.utils.counters.clear()
    never = losses("never")
    assert not torch._dynamo.utils.counters["stats"]
    assert losses("always") == pytest.approx(never, rel=1e-3)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= 1


def test_training_in_micro_batches_differs_by_rounding_only(
    clips: tuple[ClipFields, list[Clip]], tmp_path: Path
) -> None:
    stream = {"epochs": 3, "milestones": [], "learning_rate": 0.01, "dropout": 0.5, "scales": [1]}
    run = tiny_run(partial_bn=True, flow=stream)
    rows = [loss_of_epochs(run, clips, tmp_path, replace(CPU, micro_batch_videos=videos)) for videos in (0, 1, 3)]
    assert rows[1] == pytest.approx(rows[0], rel=1e-4)
    assert rows[2] == pytest.approx(rows[0], rel=1e-4)


def test_long_trainings_on_gpus_are_compiled() -> None:
    plan, gpu = plan_of(tiny_run()), Compute(torch.device("cuda"))
    micro_batches = replace(gpu, micro_batch_videos=2)
    enough = -(-PICTURES_WORTH_COMPILING // (plan.epochs * 12))
    assert [compiles(plan, clips, gpu) for clips in (enough - 1, enough)] == [False, True]
    assert not compiles(plan, enough, CPU)
    assert not compiles(plan, enough, micro_batches)
    assert not compiles(plan, enough, replace(gpu, compilation="never"))
    with pytest.raises(UserError, match=r"^compute.compile: always, beside compute.micro_batch_videos; use never"):
        compiles(plan, enough, replace(micro_batches, compilation="always"))
