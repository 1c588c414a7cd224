"""A file of another kind is called what it is: nobody is told to make it again, or to save it in another encoding."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import stp
from stp.data.index import Clip, write_index
from stp.data.run_name import RunName
from stp.data.shards import write_shard
from stp.data.splits import read_fold
from stp.evaluation.scores import Scores, write_scores
from stp.training.model_file import TrainedOn
from tests.runs import make_run, untrained

WORDS = {  # what an error calls each file of another kind
    "index.csv": "a text",
    "0.h5": "a shard of clips",
    "scores.h5": "a scores file",
    "model.pt": "an archive, as of torch",
    "state.pt": "an archive, as of torch",
    "figure.png": "a png",
}
READERS: dict[str, Callable[[Any], object]] = {
    "index.csv": stp.read_index,
    "0.h5": stp.ClipFields,
    "scores.h5": stp.read_scores,
    "model.pt": stp.load_run,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file of each kind."""
    where = tmp_path_factory.mktemp("kinds")
    write_index(where / "index.csv", [Clip("a", "a.mp4", "nod"), Clip("b", "b.mp4", "wave")])
    with write_shard(where / "0.h5", "of", {}) as shard:
        shard.write("a", np.zeros((2, 2, 4, 4), np.uint8))
    scores = Scores(RunName("of", "svm", 1), ("nod", "wave"), ("a",), np.zeros(1, int), np.ones((1, 1, 2), np.float32))
    write_scores(where / "scores.h5", scores, {})
    options: dict[str, Any] = {"backbone": "convnet", "weights": "none", "input_size": 16, "partial_bn": False}
    untrained(make_run("of/3-level/fold1/seed0", ("a", "b"), **options)).save(where / "model.pt", TrainedOn())
    torch.save({"layer.weight": torch.zeros(2)}, where / "state.pt")
    (where / "figure.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    return where


@pytest.mark.parametrize("wanted", READERS)
def test_a_file_is_read_by_its_path_as_text(folder: Path, wanted: str) -> None:
    assert READERS[wanted](f"{folder}/{wanted}") is not None


@pytest.mark.parametrize("wanted", READERS)
@pytest.mark.parametrize("given", WORDS)
def test_another_kind_of_file_is_called_what_it_is(folder: Path, wanted: str, given: str) -> None:
    if wanted == given:
        return
    with pytest.raises(stp.UserError) as caught:
        READERS[wanted](folder / given)
    message = str(caught.value)
    expected = {  # both are files of the same library, which only their content tells apart
        ("index.csv", "0.h5"): "an HDF5 file",
        ("index.csv", "scores.h5"): "an HDF5 file",
        ("model.pt", "0.h5"): "an HDF5 file",
        ("model.pt", "scores.h5"): "an HDF5 file",
        ("model.pt", "state.pt"): "another file of torch's",
    }.get((wanted, given), WORDS[given])
    assert message.startswith(f"{folder / given}: not ")
    assert f"but {expected}; give " in message
    assert "UTF-8" not in message
    assert "\n" not in message


def test_a_table_of_other_columns_is_no_index(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "table1.csv").write_text("input,3-level\nOF,71.7\n")
    with pytest.raises(stp.UserError, match=r"table1.csv: column clip, label, path is missing; an index has clip, "):
        stp.read_index(tmp_path / "table1.csv")
    with pytest.raises(stp.UserError, match=r"table1.csv: not a fold: it lacks a column clip or set"):
        read_fold(tmp_path / "table1.csv", stp.read_index(folder / "index.csv"))


def test_a_path_as_text_is_one_path_and_not_a_row_of_letters(tmp_path: Path) -> None:
    with pytest.raises(stp.UserError) as caught:
        stp.ClipFields("results/clips/of/0.h5")
    assert str(caught.value).startswith("results/clips/of/0.h5: cannot be read (")


def test_scores_of_another_version_say_which_one_wrote_them(folder: Path, tmp_path: Path) -> None:
    import h5py

    (tmp_path / "scores.h5").write_bytes((folder / "scores.h5").read_bytes())
    with h5py.File(tmp_path / "scores.h5", "r+") as file:
        file.attrs["views"] = 3
        file.attrs["versions"] = '{"stp": "9.0.0"}'
    with pytest.raises(stp.UserError) as caught:
        stp.read_scores(tmp_path / "scores.h5")
    assert str(caught.value) == (
        f"{tmp_path}/scores.h5: not a scores file, or damaged (unknown attribute views); stp 9.0.0 wrote it, and this "
        f"is stp {stp.__version__}: use that version, or score the run again"
    )
