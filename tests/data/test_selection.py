"""Names of clips and classes in a config are those of the data set; if not, similar ones are named."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stp.cli.app import app
from stp.data.index import Clip, Index
from stp.data.selection import check_named, picked_clips
from stp.errors import UserError
from tests.data.test_index import write_video

CLIPS = (Clip("wave/wave_01", "", "wave"), Clip("clap/clap_01", "", "clap"), Clip("test/x", "", ""))


@pytest.mark.parametrize(
    ("named", "words"),
    [
        (
            {"explain.clips": ["wave/wave_1"]},
            "config: explain.clips: 'wave/wave_1' is no clip of the data set; did you mean wave/wave_01",
        ),
        (
            {"examples.clips": ["zzz"]},
            "config: examples.clips: 'zzz' is no clip of the data set; there are wave/wave_01, clap/clap_01, test/x, ",
        ),
        (
            {"explain.clips": ["wave/wave_01"], "explain.class": ["waves"]},
            "config: explain.class: 'waves' is no class of the data set; did you mean wave?",
        ),
        (
            {"explain.clips": ["test/x"], "explain.class": ["own"]},
            "config: explain.class: own, but the label of 'test/x' is hidden; give predicted or a class",
        ),
    ],
)
def test_a_name_that_is_not_there_is_refused_with_those_that_are(named: dict[str, list[str]], words: str) -> None:
    with pytest.raises(UserError) as caught:
        check_named(named, CLIPS)
    assert str(caught.value).startswith(words)


@pytest.mark.parametrize("word", ["own", "predicted", "clap"])
def test_names_that_are_there_are_taken(word: str) -> None:
    check_named({"explain.clips": ["wave/wave_01"], "explain.class": [word], "examples.clips": ["test/x"]}, CLIPS)


def test_the_index_is_not_written_if_a_config_names_a_clip_that_is_not_there(tmp_path: Path) -> None:
    for label in ("wave", "clap"):
        write_video(tmp_path / f"videos/{label}/{label}_1.avi")

    def index(name: str) -> bool:
        named = json.dumps({"explain.clips": [name]})
        files = ["-o", str(tmp_path / "index.csv"), "--skipped", str(tmp_path / "skipped.csv")]
        result = CliRunner().invoke(app, ["index", str(tmp_path / "videos"), *files, "--named", named])
        return result.exit_code == 0

    assert not index("wave/wave_2")
    assert not (tmp_path / "index.csv").exists()
    assert index("wave/wave_1")
    assert (tmp_path / "index.csv").exists()


def test_clips_with_hidden_labels_and_classes_without_unseen_clips_are_not_picked() -> None:
    assert picked_clips(Index(CLIPS), {"clap/clap_01"}, 4, seed=0) == [CLIPS[0]]
    assert picked_clips(Index(CLIPS), {clip.clip for clip in CLIPS}, 4, seed=0) == []
