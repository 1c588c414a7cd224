"""The pyramid that slides: its smooth maximum, its scores at every offset, and the segments that it sees."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from stp.config import Config, method_file
from stp.config_check import checked_config
from stp.data.run_name import RunName
from stp.errors import UserError
from stp.methods import aligned, pyramid
from stp.models.aligned import AlignedPyramidNetwork, Phase, smooth_maximum
from stp.models.backbones import build_backbone
from stp.models.pyramid import TemporalPyramidNetwork
from stp.training.run import Run

CLASSES = ("a", "b", "c")
DIMENSIONS = 96  # of the small backbone


def network(phase: Phase, levels: int = 3, seed: int = 0) -> AlignedPyramidNetwork:
    torch.manual_seed(seed)
    parts = tuple(2**level for level in range(levels))
    made = AlignedPyramidNetwork(build_backbone("convnet", 3, False), parts, len(CLASSES), 0.5, phase).eval()
    nn.init.normal_(made.classifier.weight)
    return made


def uniform(values: int) -> Tensor:
    return torch.full((values,), 1 / values, dtype=torch.float64).log()


def run(name: str = "aligned-3-level", **options: Any) -> Run:
    kind = method_file(name)
    assert kind == "aligned"
    return aligned.METHOD.run(
        RunName("of", name, 1), kind, CLASSES, {"backbone": "convnet", "weights": "none"} | options
    )


def config(variants: list[str], **sections: Mapping[str, Any]) -> Config:
    values = {"dataset": {"importer": "folder", "path": "videos"}, "variants": variants} | sections
    return checked_config(values)[1]


def test_the_smooth_maximum_by_hand() -> None:
    """Values ln 1 and ln 3 with equal shares: ln((1 + 3) / 2) = ln 2; with temperature 1/2, ln((1 + 9) / 2) / 2."""
    values = torch.tensor([1.0, 3.0], dtype=torch.float64).log()
    assert smooth_maximum(values, uniform(2), 1.0).exp().item() == pytest.approx(2)
    assert smooth_maximum(values, uniform(2), 0.5).exp().item() == pytest.approx(5**0.5)
    shares = torch.tensor([0.25, 0.75], dtype=torch.float64).log()
    assert smooth_maximum(values, shares, 1.0).exp().item() == pytest.approx(0.25 * 1 + 0.75 * 3)


VALUES = st.lists(st.floats(-1000, 1000), min_size=1, max_size=9)


@given(values=VALUES, temperature=st.floats(1e-3, 1e3), shift=st.floats(-100, 100))
def test_the_smooth_maximum_lies_between_mean_and_maximum_and_moves_with_its_values(
    values: list[float], temperature: float, shift: float
) -> None:
    given_values = torch.tensor(values, dtype=torch.float64)
    found = smooth_maximum(given_values, uniform(len(values)), temperature).item()
    assert np.mean(values) - 1e-6 <= found <= max(values) + 1e-9
    moved = smooth_maximum(given_values + shift, uniform(len(values)), temperature).item()
    assert moved == pytest.approx(found + shift, abs=1e-6)


@given(values=VALUES)
def test_a_low_temperature_gives_the_maximum_and_a_high_one_the_mean(values: list[float]) -> None:
    given_values, shares = torch.tensor(values, dtype=torch.float64), uniform(len(values))
    assert smooth_maximum(given_values, shares, 1e-6).item() == pytest.approx(max(values), abs=1e-4)
    assert smooth_maximum(given_values, shares, 1e9).item() == pytest.approx(np.mean(values), abs=1e-2)


@given(value=st.floats(-1000, 1000, width=32), temperature=st.floats(1e-3, 1e3))
def test_the_smooth_maximum_of_one_value_is_that_value(value: float, temperature: float) -> None:
    assert smooth_maximum(torch.tensor([value]), torch.zeros(1), temperature).item() == value


@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize("temperature", [0.3, 1.0])
def test_without_extra_subsegments_it_is_the_pyramid_exactly(levels: int, temperature: float) -> None:
    slid = network(Phase(4, 0, temperature, learned=False), levels)
    still = TemporalPyramidNetwork(slid.backbone, slid.parts, len(CLASSES), 0.5).eval()
    still.load_state_dict(slid.state_dict(), strict=False)
    features = torch.randn(2, 6, DIMENSIONS)
    places = torch.tensor([[0, 1, 2, 3], [5, 2, 2, 0]])
    assert torch.equal(slid.scores(features[:, places]), still.scores(features[:, places]))
    assert torch.equal(slid.segment_scores(features, places), still.segment_scores(features, places))


@pytest.mark.parametrize("levels", [1, 3, 4])
@pytest.mark.parametrize("length", [5, 22, 90])
@pytest.mark.parametrize("sampling", ["starts", "clips"])
def test_without_extra_subsegments_its_segments_are_the_pyramids(levels: int, length: int, sampling: str) -> None:
    options = {"segments": 3, "sampling": sampling}
    name = RunName("of", f"{levels}-level", 1)
    still = pyramid.sampler(pyramid.METHOD.run(name, "pyramid", CLASSES, options))
    sliding = aligned.sampler(run(f"aligned-{levels}-level", extra_subsegments=0, **options))
    drawn = still.draw(length, np.random.default_rng(0))
    assert np.array_equal(sliding.draw(length, np.random.default_rng(0)), drawn)
    assert np.array_equal(still.spread(length, 25), sliding.spread(length, 25))


@pytest.mark.parametrize(
    ("length", "starts"),
    [
        (71, [0, 1, 2, 3, 4, 5, 6]),  # a segment of 65 fields fits at 7 places
        (65, [0, 1, 2, 3, 4]),  # it fits at one, but every distance between two sub-segments is seen
        (50, [0, 1, 2, 3, 4]),
        (23, [0, 1, 2, 3]),  # and the pyramid's 20 fields always fit
        (20, [0]),
        (7, [0]),
    ],
)
def test_where_long_segments_start(length: int, starts: list[int]) -> None:
    sampler, rng = aligned.sampler(run(extra_subsegments=9)), np.random.default_rng(0)
    assert sampler.segment_length == 65
    drawn = {int(sampler.draw(length, rng)[0, 0]) for _ in range(200)}
    assert sorted(drawn) == starts
    assert np.unique(sampler.spread(length, 50)[:, 0, 0]).tolist() == starts


@settings(deadline=None, max_examples=30)
@given(
    levels=st.integers(1, 3),
    extra=st.integers(0, 5),
    temperature=st.sampled_from([0.2, 1.0, 7.0]),
    seed=st.integers(0, 1000),
)
def test_shared_subsegments_score_as_the_plain_definition(
    levels: int, extra: int, temperature: float, seed: int
) -> None:
    """At each offset the pyramid's score, and of these t ln(sum of p exp(score / t)) with the shares of the prior."""
    slid = network(Phase(4, extra, temperature, learned=True), levels, seed)
    nn.init.normal_(slid.prior)
    features = torch.randn(2, 9, DIMENSIONS)
    places = torch.randint(0, 9, (3, 4 + extra))
    shares = slid.prior.double().softmax(0)
    total = sum(
        shares[o]
        * (TemporalPyramidNetwork.scores(slid, features[:, places[:, o : o + 4]]).double() / temperature).exp()
        for o in range(extra + 1)
    )
    expected = temperature * torch.as_tensor(total).log()
    if not expected.isfinite().all():  # the plain statement overflows where the smooth maximum does not
        return
    assert torch.allclose(slid.segment_scores(features, places), expected, atol=1e-4)
    assert torch.allclose(slid.scores(features[:, places]).double(), expected, atol=1e-4)


@settings(deadline=None, max_examples=20)
@given(first=st.integers(0, 4), seed=st.integers(0, 1000))
def test_an_action_has_its_score_wherever_it_begins(first: int, seed: int) -> None:
    """Four sub-segments of an action in a long segment whose other sub-segments show nothing (features of zero)."""
    slid = network(Phase(4, 11, 1.0, learned=False), seed=seed)
    action = torch.randn(4, DIMENSIONS)

    def segment(place: int) -> Tensor:
        features = torch.zeros(15, DIMENSIONS)
        features[place : place + 4] = action
        return features

    here, later = slid.scores(segment(3 + first)), slid.scores(segment(4 + first))
    assert torch.allclose(here, later, atol=1e-4)
    reversed_scores = slid.scores(segment(3 + first).flip(0))
    assert not torch.allclose(here, reversed_scores, atol=1e-2)  # their order still counts


def test_only_a_learned_prior_is_trained() -> None:
    for prior in ("uniform", "learned"):
        made = aligned.build(run(phase_prior=prior, extra_subsegments=5))
        trained = [name for name, parameter in made.named_parameters() if parameter.requires_grad]
        assert ("prior" in trained) == (prior == "learned")
        assert made.prior.shape == (6,)


@pytest.mark.parametrize(
    ("name", "options", "subsegments", "starts"),
    [
        ("aligned-3-level", {"extra_subsegments": 2}, 6, [0, 5, 10, 15, 20, 25]),
        ("aligned-3-level", {"extra_subsegments": 1, "segment_length": 14}, 5, [0, 3, 6, 9, 12]),
        ("aligned-1-level", {"extra_subsegments": 2, "subsegments": 1, "segment_length": 5}, 3, [0, 5, 10]),
        ("aligned-4-level", {"extra_subsegments": 7}, 15, [0, 2, 4, 6, 9, 11, 13, 15, 17, 19, 21, 24, 26, 28, 30]),
    ],
)
def test_a_longer_segment_has_subsegments_at_the_same_distances(
    name: str, options: dict[str, Any], subsegments: int, starts: list[int]
) -> None:
    sampler = aligned.sampler(run(name, **options))
    assert sampler.subsegments == subsegments
    assert list(sampler.subsegment_starts) == starts
    drawn = sampler.draw(200, np.random.default_rng(0)).reshape(sampler.segments, subsegments, sampler.stack)
    assert (drawn[:, :, 0] - drawn[:, :1, 0] == starts).all()


def test_the_section_of_the_config_makes_the_settings_of_these_variants_alone() -> None:
    section = {"segments": 2, "extra_subsegments": 3, "temperature": 0.5, "phase_prior": "learned"}
    given_config = config(["3-level", "aligned-3-level"], aligned=section)
    found = given_config.settings("aligned-3-level", "of")
    assert {key: found[key] for key in section} == section
    assert given_config.method("aligned-3-level").method == "aligned"
    assert given_config.settings("3-level", "of") == config(["3-level"]).settings("3-level", "of")
    made = run(**{key: value for key, value in found.items() if key not in ("backbone", "weights")})
    assert aligned.sampler(made).segments == 2
    assert aligned.build(made).phase == Phase(4, 3, 0.5, learned=True)


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"temperature": 0}, "config: aligned.temperature: 0 is not allowed"),
        ({"extra_subsegments": -1}, "config: aligned.extra_subsegments: -1 is not allowed"),
        ({"extra_subsegments": 1.5}, "config: aligned.extra_subsegments: 1.5 is not allowed"),
        ({"phase_prior": "gaussian"}, "config: aligned.phase_prior: 'gaussian' is not allowed"),
        ({"segments": 0}, "config: aligned.segments: 0 is not allowed"),
    ],
)
def test_values_that_are_not_allowed_are_one_line(section: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        config(["aligned-3-level"], aligned=section)
    options = section if "segments" not in section else {"extra_subsegments": 1001}
    with pytest.raises(UserError):
        run(**options)


def test_an_aligned_pyramid_needs_subsegments_that_its_parts_divide() -> None:
    with pytest.raises(UserError, match="6 cannot be divided into the 4 parts of variant aligned-3-level"):
        aligned.sampler(run(subsegments=6))
