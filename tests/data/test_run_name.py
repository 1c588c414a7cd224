"""Names of runs: what is written is read again, and what is no name is one line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stp.data.run_name import RunName, method_order
from stp.errors import UserError

WORDS = st.from_regex(r"[a-z0-9_-]+", fullmatch=True)
NUMBERS = st.integers(0, 10**6)


@given(st.lists(WORDS, min_size=1, max_size=3), WORDS, NUMBERS, NUMBERS)
def test_a_name_is_read_as_it_was_written(modalities: list[str], method: str, fold: int, seed: int) -> None:
    name = RunName("+".join(modalities), method, fold, seed)
    assert str(name) == f"{'+'.join(modalities)}/{method}/fold{fold}/seed{seed}"
    assert RunName.parse(str(name)) == name
    assert name.modalities == tuple(modalities)


@pytest.mark.parametrize(
    "text", ["", "of/3-level/fold1", "of/3-level/fold1/seed", "of/3-level/foldx/seed0", "/of/3-level/fold1/seed0"]
)
def test_text_that_is_no_name_is_one_line(text: str) -> None:
    with pytest.raises(UserError) as error:
        RunName.parse(text)
    assert str(error.value) == f"'{text}' is not the name of a run, INPUT/METHOD/foldN/seedS"


def test_methods_come_as_in_table_1_and_others_stay_in_their_order() -> None:
    names = ["two_stream", "10-level", "svm", "2-level", "baseline"]
    assert sorted(names, key=method_order) == ["baseline", "2-level", "10-level", "two_stream", "svm"]
