"""Of runs under way, a page compares those that have the same folds and seeds."""

from itertools import product

import numpy as np
import pytest

from stp.data.run_name import RunName
from stp.evaluation.scores import Scores
from stp.overview.complete import complete_runs, missing_notices

ALL = [f"{s}/{v}/fold{f}/seed0" for s, v, f in product(("rgb", "of", "wof"), ("baseline", "3-level"), (1, 2, 3))]


def scored(names: list[str]) -> list[Scores]:
    values = np.zeros((1, 1, 2), np.float32)
    return [Scores(RunName.parse(name), ("a", "b"), ("x",), np.zeros(1, int), values) for name in names]


def kept(names: list[str]) -> list[str]:
    return [str(item.run) for item in complete_runs(scored(names))[0]]


def test_all_runs_are_kept_where_none_is_missing() -> None:
    assert kept(ALL) == ALL
    seeds = [name.replace("seed0", f"seed{seed}") for seed in (0, 1) for name in ALL]
    assert kept(seeds) == seeds
    assert complete_runs([]) == ([], [])


def test_a_variant_that_lacks_a_fold_is_left_out() -> None:
    names = [name for name in ALL if name != "of/3-level/fold3/seed0"]
    assert kept(names) == [name for name in ALL if not name.startswith("of/3-level")]
    left_out = [str(name) for name in complete_runs(scored(names))[1]]
    assert left_out == ["of/3-level/fold1/seed0", "of/3-level/fold2/seed0"]


def test_a_fold_that_most_lack_is_left_out() -> None:
    names = [name for name in ALL if "fold3" not in name or name.startswith("rgb/baseline")]
    assert kept(names) == [name for name in ALL if "fold3" not in name]


def test_a_seed_that_most_lack_is_left_out() -> None:
    assert kept([*ALL, "rgb/baseline/fold1/seed1"]) == ALL


@pytest.mark.parametrize("seed", range(20))
def test_no_other_choice_has_more_runs(seed: int) -> None:
    """Every choice of folds and seeds is tried, of runs that are there by chance."""
    rng = np.random.default_rng(seed)
    everything = [RunName(s, "3-level", f, n) for s, f, n in product("abc", (1, 2, 3), (0, 1))]
    names = [name for name in everything if rng.random() < 0.7]
    most = 0
    for folds, seeds in product(({1}, {2}, {3}, {1, 2}, {1, 3}, {2, 3}, {1, 2, 3}), ({0}, {1}, {0, 1})):
        inputs = [s for s in "abc" if all(RunName(s, "3-level", f, n) in names for f, n in product(folds, seeds))]
        most = max(most, len(inputs) * len(folds) * len(seeds))
    assert len(kept([str(name) for name in names])) == most


def test_what_is_missing_is_counted_and_named_on_request() -> None:
    left_out = [RunName("of", "3-level", fold) for fold in range(1, 9)] + [RunName("rgb", "baseline", 1)]
    under_way = {RunName("rgb+of", "net", 1): "training", RunName("rgb+of", "net", 2): "interrupted"}
    first, second = missing_notices(left_out, under_way)
    assert first.words.endswith(" seeds: OF, 3-level (8 runs); RGB, baseline (1 run).")
    assert second.words == "Not yet trained: RGB+OF, net (1 run, training); RGB+OF, net (1 run, interrupted)."
    assert first.runs == tuple(map(str, left_out))
    assert second.runs == ("rgb+of/net/fold1/seed0 (training)", "rgb+of/net/fold2/seed0 (interrupted)")
    assert missing_notices([], {}) == []
