"""Model files: those of version 0.1 still load, and a foreign file is one line."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from stp import methods
from stp.errors import UserError
from stp.methods.network import NetworkRecogniser
from stp.training.model_file import TrainedOn, read_model
from tests.damage import flipped, outcome
from tests.runs import make_run, pyramid_network, untrained

STREAM = {"epochs": 2, "milestones": [1], "learning_rate": 0.01, "dropout": 0.5, "scales": [1, 0.8]}
SETTINGS = {  # as version 0.1 wrote them
    **{"backbone": "convnet", "weights": "none", "width": 0.25, "input_size": 16},
    **{"segments": 2, "segment_length": 8, "subsegments": 4, "subsegment_length": 2},
    **{"batch_videos": 3, "momentum": 0.9, "weight_decay": 0.0005, "gradient_clip": 20.0, "partial_bn": False},
    **{"precision": "auto", "deterministic": False, "rgb": STREAM, "flow": STREAM},
}
OLD = {"modality": "of", "variant": "3-level", "fold": 2, "classes": ["a", "b"], "settings": SETTINGS, "seed": 5}


def test_a_file_of_version_0_1_loads(tmp_path: Path) -> None:
    run = make_run("of/3-level/fold2/seed5", ("a", "b"), **SETTINGS)
    network = untrained(run).scorer.network
    content = {"run": json.dumps(OLD), "clips": ["x", "y"], "versions": {"stp": "0.1.0"}}
    content |= {"fields": json.dumps({"bound": 20}), "weights": network.state_dict()}
    torch.save(content, tmp_path / "model.pt")
    recogniser, file = methods.load(tmp_path / "model.pt")
    assert isinstance(recogniser, NetworkRecogniser)
    assert recogniser.run == run
    assert file.clips() == {"x", "y"}
    assert file.fields() == {"of": {"bound": 20}}
    images = 255 * torch.rand(1, 2, 4, 4, 16, 16)
    assert torch.equal(recogniser.scorer.network(images), network(images))


def test_a_file_says_what_it_was_trained_on_or_that_it_does_not(tmp_path: Path) -> None:
    recogniser = untrained(make_run("of/3-level/fold2/seed5", ("a", "b"), **SETTINGS))
    recogniser.save(tmp_path / "new.pt", TrainedOn(["x"], {"of": {"bound": 20}}))
    file = read_model(tmp_path / "new.pt")
    assert (file.kind, str(file.name), file.clips(), file.fields()) == (
        *("pyramid", "of/3-level/fold2/seed5", {"x"}, {"of": {"bound": 20}}),
    )
    recogniser.save(tmp_path / "bare.pt", TrainedOn())
    with pytest.raises(UserError, match=r"bare.pt: does not say which clips it was trained on; train it again"):
        read_model(tmp_path / "bare.pt").clips()
    with pytest.raises(UserError, match=r"bare.pt: does not say how the fields it was trained on were made; train it"):
        read_model(tmp_path / "bare.pt").fields()


def test_a_foreign_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.pt").write_bytes(b"nothing")
    torch.save({"state_dict": {}}, tmp_path / "other.pt")
    (tmp_path / "noise.pt").write_bytes(b"\x80\x00\x01\x02")
    words = {
        "text.pt": "but a text; give model.pt of a run's folder",
        "other.pt": "but another file of torch's; give model.pt of a run's folder",
        "noise.pt": r"or damaged \(\w+\); train it again$",
    }
    for name, reason in words.items():
        with pytest.raises(UserError, match=rf"{name}: not a trained run, {reason}") as error:
            methods.load(tmp_path / name)
        assert "\n" not in str(error.value)


def test_every_flipped_bit_of_a_trained_run_is_noticed_or_changes_nothing(tmp_path: Path) -> None:
    recogniser = untrained(make_run("of/3-level/fold2/seed5", ("a", "b"), **SETTINGS))
    recogniser.save(tmp_path / "model.pt", TrainedOn(["x"], {"of": {"bound": 20}}))
    content, whole = (tmp_path / "model.pt").read_bytes(), read_model(tmp_path / "model.pt")
    noticed = 0
    for bit in np.random.default_rng(0).choice(8 * len(content), 150, replace=False).tolist():
        (tmp_path / "model.pt").write_bytes(flipped(content, bit))
        found = outcome(read_model, tmp_path / "model.pt")
        if isinstance(found, UserError):
            assert "model.pt: not a trained run, or damaged (" in str(found)
            noticed += 1
        else:
            assert replace(found, weights={}) == replace(whole, weights={})
            assert all(torch.equal(found.weights[name], value) for name, value in whole.weights.items())
    assert noticed > 75


def test_weights_that_are_not_finite_are_neither_written_nor_read(tmp_path: Path) -> None:
    recogniser = untrained(make_run("of/3-level/fold2/seed5", ("a", "b"), **SETTINGS))
    recogniser.save(tmp_path / "model.pt", TrainedOn())
    content = torch.load(tmp_path / "model.pt", weights_only=True)
    content["weights"]["classifier.bias"][1] = torch.inf
    torch.save(content, tmp_path / "damaged.pt")
    with pytest.raises(UserError, match=r"damaged.pt: has NaN or infinite weights in 'classifier.bias'; train it"):
        read_model(tmp_path / "damaged.pt")
    pyramid_network(recogniser).classifier.bias.data[0] = torch.nan
    with pytest.raises(UserError, match=r"of/3-level/fold2/seed5: training gave NaN or infinite weights in 'cl"):
        recogniser.save(tmp_path / "new.pt", TrainedOn())
    assert not (tmp_path / "new.pt").exists()


def test_weights_of_another_network_are_one_line(tmp_path: Path) -> None:
    torch.save({"run": json.dumps(OLD), "weights": {"x": torch.zeros(1)}}, tmp_path / "model.pt")
    with pytest.raises(UserError, match=r"model.pt: its weights are not those of of/3-level/fold2/seed5; train it"):
        methods.load(tmp_path / "model.pt")
