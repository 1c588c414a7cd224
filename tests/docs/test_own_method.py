"""The method that docs/extending.md adds: exactly its text is trained, scored and read back."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from stp import methods
from stp.config import Views
from stp.data.index import Clip
from stp.data.run_name import RunName
from stp.data.shards import ClipFields, write_shard
from stp.system.devices import Compute
from stp.training.model_file import TrainedOn
from stp.training.session import Session

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/extending.md"
TINY = {
    **{"backbone": "convnet", "weights": "none", "width": 0.25, "input_size": 32, "partial_bn": False},
    **{"batch_videos": 4, "subsegments": 2},
    "flow": {"epochs": 6, "milestones": [], "learning_rate": 0.05, "dropout": 0.0, "scales": [1]},
}


def text_of_the_method() -> str:
    """The first Python block of the section on methods."""
    section = DOCUMENT.read_text(encoding="utf-8").split("## Another method\n")[1].split("\n## ")[0]
    blocks: list[str] = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    return blocks[0]


@pytest.fixture
def own_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> methods.Method:
    """The method, found in a folder beside those of the package."""
    (tmp_path / "maximum.py").write_text(text_of_the_method(), encoding="utf-8")
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
    return methods.find("maximum")


def test_a_method_of_ones_own_takes_under_40_lines_of_code() -> None:
    code = [line for line in text_of_the_method().splitlines() if line.strip() and not line.startswith(('"""', "#"))]
    assert 10 < len(code) < 40


def test_the_documented_method_trains_scores_and_is_read_back(own_method: methods.Method, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    clips = [Clip(f"{label}/{i}", "", label) for i in range(4) for label in ("up", "down")]
    with write_shard(tmp_path / "0.h5", "of", {"bound": 20}) as shard:
        for clip in clips:
            fields = rng.integers(120, 137, (24, 2, 36, 48)).astype(np.uint8)
            fields[:, 1] += np.uint8(60) if clip.label == "down" else np.uint8(0)
            shard.write(clip.clip, fields)
    fields_of = {"of": ClipFields([tmp_path / "0.h5"])}
    run = own_method.run(RunName("of", "maximum", 1), "maximum", ("up", "down"), TINY)
    compute = Compute(torch.device("cpu"))
    task = methods.Task(run, clips, fields_of, compute, Session(tmp_path / "log.csv"))
    recogniser = own_method.fit(task)
    recogniser.save(tmp_path / "model.pt", TrainedOn([clip.clip for clip in clips], {"of": {"bound": 20}}))
    names, views = [clip.clip for clip in clips], Views(segments=2, crops=1)
    scores = recogniser.scores(names, fields_of, views, compute)
    assert scores.shape == (8, 2, 2)
    assert (scores.mean(1).argmax(1) == task.labels).all()
    again, _ = methods.load(tmp_path / "model.pt")
    assert np.array_equal(again.scores(names, fields_of, views, compute), scores)
