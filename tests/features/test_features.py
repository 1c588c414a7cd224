"""Features are stored under their own name, or that of the one modality that they are made from."""

from pathlib import Path

import numpy as np
import pytest

from stp.data.shards import ClipFields, write_shard
from stp.errors import UserError
from stp.features import stored_as


def shard(folder: Path, modality: str, clips: str = "ab") -> ClipFields:
    channels = 3 if modality == "rgb" else 2
    with write_shard(folder / f"{modality}.h5", modality, {"made": modality}) as written:
        for clip in clips:
            written.write(clip, np.zeros((1, channels, 2, 2), np.uint8))
    return ClipFields([folder / f"{modality}.h5"])


def test_features_of_one_modality_are_stored_beside_its_name(tmp_path: Path) -> None:
    assert stored_as("frozen", {"of": shard(tmp_path, "of")}) == ("frozen-of", {"made": "of"})


def test_features_of_several_modalities_are_stored_under_their_own_name(tmp_path: Path) -> None:
    sources = {name: shard(tmp_path, name) for name in ("wof", "of", "rgb")}
    made_from = {name: {"made": name} for name in ("of", "rgb", "wof")}
    assert stored_as("idt", sources) == ("idt", made_from)


@pytest.mark.parametrize(
    ("kind", "modalities", "words"),
    [
        ("frozen", ("rgb", "of"), "features 'frozen' are made from one modality; the shards given are of rgb, of"),
        ("displacement", ("rgb",), "features 'displacement' are made from first; the shards given are of rgb"),
        ("idt", (), "the shards given are of none"),
    ],
)
def test_other_sources_are_named(tmp_path: Path, kind: str, modalities: tuple[str, ...], words: str) -> None:
    with pytest.raises(UserError) as caught:
        stored_as(kind, {name: shard(tmp_path, name) for name in modalities})
    assert words in str(caught.value)


def test_shards_of_different_clips_are_refused(tmp_path: Path) -> None:
    sources = {"rgb": shard(tmp_path, "rgb"), "of": shard(tmp_path, "of", clips="ac")}
    with pytest.raises(UserError, match="hold different clips"):
        stored_as("idt", sources)
