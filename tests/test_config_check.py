"""A config is checked before any job: whatever is wrong is one line that names key, value and what is allowed."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from snakemake.utils import validate

from stp.config import Explain
from stp.config_check import ROOT, SCHEMA, checked_config, config_problems, parse_config, read_config
from stp.errors import UserError

ENTRIES = yaml.safe_load((ROOT / SCHEMA).read_text(encoding="utf-8"))
NEEDED: dict[str, Any] = {"dataset": {"importer": "demo", "path": "results/videos"}, "demo": {}}
CONFIGS = [ROOT / "config.yaml", *sorted((ROOT / "config").glob("*.yaml"))]


def leaves(entry: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Path and entry of every key of the schema that holds a value."""
    if "$ref" in entry:
        entry = ENTRIES["$defs"][entry["$ref"].rsplit("/", 1)[1]]
    if "properties" not in entry:
        yield path, entry
    for name, below in entry.get("properties", {}).items():
        yield from leaves(below, (*path, name))


LEAVES = dict(leaves(ENTRIES))
NUMBERS = {path: entry for path, entry in LEAVES.items() if entry.get("type") in ("integer", "number")}
NUMBERS |= {  # of lists
    (*path, "0"): entry["items"]
    for path, entry in LEAVES.items()
    if entry.get("items", {}).get("type") in ("integer", "number")
}


def config(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """The least config with a value at this path; a last part of 0 is a list's item."""
    values: dict[str, Any] = json.loads(json.dumps(NEEDED))
    if path[-1] == "0":
        path, value = path[:-1], [value]
    section = values
    for name in path[:-1]:
        section = section.setdefault(name, {})
    section[path[-1]] = value
    if path == ("explain", "fold"):  # which must be one of the folds
        values["splits"] = {"folds": 1000}
    return values


def named(path: tuple[str, ...]) -> str:
    return ".".join(path).replace(".0", "[0]")


def refusal(values: dict[str, Any]) -> str:
    """The one line with which a config is refused."""
    with pytest.raises(UserError) as caught:
        checked_config(values)
    words = str(caught.value)
    assert len(words.splitlines()) == 1
    return words


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_defaults_are_filled_in_as_snakemake_fills_them_in(path: Path) -> None:
    """Letter for letter, because Snakemake records parameters that are made of them."""
    filled, _ = checked_config(read_config(path))
    expected = read_config(path)
    validate(expected, str(ROOT / SCHEMA))
    assert json.dumps(filled) == json.dumps(expected)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_a_config_has_figure_3_or_a_comment_that_says_why_not(path: Path) -> None:
    """Of as many classes as the paper's, which is the default."""
    explain = checked_config(read_config(path))[1].explain
    reason = re.search(r"^explain:.*\n(  .*\n)*?  number: \d+ +# .*\w", path.read_text(), re.MULTILINE)
    assert explain.number == Explain.number or reason


def test_many_checks_read_the_schema_once_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading it takes more than ten times as long as a check."""
    values, read, load = read_config(ROOT / "config.yaml"), [0], yaml.safe_load

    def counted(text: str) -> Any:
        read[0] += 1
        return load(text)

    monkeypatch.setattr("stp.config_check.yaml.safe_load", counted)
    for _ in range(3):
        checked_config(values)
    assert read[0] <= 1


def test_every_number_of_the_schema_has_bounds_on_both_sides() -> None:
    for path, entry in NUMBERS.items():
        assert "enum" in entry or {"minimum", "exclusiveMinimum"} & set(entry), path
        assert "enum" in entry or {"maximum", "exclusiveMaximum"} & set(entry), path


@pytest.mark.parametrize("path", LEAVES, ids=named)
def test_a_keys_own_default_and_bounds_are_accepted(path: tuple[str, ...]) -> None:
    entry = LEAVES[path]
    step = entry.get("multipleOf", 1)
    values = [entry[name] for name in ("default", "minimum", "maximum") if name in entry]
    for value in [value for value in values if not isinstance(value, int) or value % step == 0]:
        checked_config(config(path, value))


@pytest.mark.parametrize("path", NUMBERS, ids=named)
@settings(max_examples=30)
@given(data=st.data())
def test_a_number_that_is_not_allowed_names_its_key(path: tuple[str, ...], data: st.DataObject) -> None:
    entry = NUMBERS[path]
    wrong: list[st.SearchStrategy[Any]] = [
        st.sampled_from([float("nan"), float("inf"), -float("inf"), None, True, "1", "1e30", "", {}, {"a": 1}, [[1]]])
    ]
    if entry["type"] == "integer":
        wrong += [st.integers(-10, 10**6).map(float), st.floats(0.1, 0.9)]
    if "enum" in entry:
        wrong.append(st.integers().filter(lambda value: value not in entry["enum"]))
    if "multipleOf" in entry:
        wrong.append(st.integers(entry["minimum"], entry["maximum"]).filter(lambda value: value % entry["multipleOf"]))
    number: Any = st.integers if entry["type"] == "integer" else st.floats
    below, above = entry.get("minimum"), entry.get("maximum")
    if "enum" not in entry:
        wrong.append(number(max_value=entry.get("exclusiveMinimum", below)).filter(lambda value: value != below))
        wrong.append(number(min_value=entry.get("exclusiveMaximum", above)).filter(lambda value: value != above))
    value = data.draw(st.one_of(wrong))
    assert refusal(config(path, value)).startswith(f"config: {named(path)}")


@pytest.mark.parametrize("path", LEAVES, ids=named)
def test_a_value_of_another_kind_names_its_key(path: tuple[str, ...]) -> None:
    kind = LEAVES[path].get("type", "number" if "anyOf" in LEAVES[path] else "string")  # an enum is of words
    kinds: dict[str, Any] = {"string": str, "boolean": bool, "integer": int, "array": list, "object": dict}
    own = kinds.get(kind, (int, float))
    others: list[Any] = [3.5, "word\n", "", None, [None], {"a": None}, ["a\x00"], {1: 2}, b"bytes", [float("nan")]]
    for value in [3, 3.5, True, "word", ["b"], {"a": 1}]:
        if not isinstance(value, own) or (isinstance(value, bool) and kind != "boolean"):
            others.append(value)
    taken: dict[str, Any] = {"dataset.lists": "", "explain.clips": ["b"], "examples.clips": ["b"]}
    for value in others:
        if value != taken.get(named(path), ...) and not (kind == "number" and value == 3.5):
            assert refusal(config(path, value)).startswith(f"config: {named(path)}"), value


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shards": 3.0}, "config: shards: 3.0 is not allowed; allowed: whole number ≥ 1, ≤ 10000"),
        ({"scoring": {"crops": 1.0}}, "config: scoring.crops: 1.0 is not allowed; allowed: `1`, `2`, `5`, `10`"),
        ({"splits": {"seed": 4294967296}}, "config: splits.seed: 4294967296 is not allowed; allowed: whole number"),
        ({"variants": ["baseline\n"]}, r"config: variants[0]: 'baseline\n' has the control character '\n'; remove it"),
        ({"explain": {"class": "a\u2028b"}}, r"config: explain.class: 'a\u2028b' has the control character '\u2028'"),
        ({"trainning": {}}, "config: trainning: unknown key; did you mean 'training'? allowed are results, dataset"),
        ({"training": {"rgb": {"epoch": 3}}}, "config: training.rgb.epoch: unknown key; did you mean 'epochs'?"),
        ({"dataset": {"importer": "demo"}}, "config: dataset.path: must be given; allowed: text"),
        ({"frames": None}, "config: frames: nothing is not allowed; allowed: the keys width, height"),
        ({3: {}}, "config: 3: the key is 3, not text; quote it"),
        ({"methods": {"A b": {"inputs": ["of"]}}}, "config: methods: the name 'A b' is not allowed; allowed: text"),
        ({"methods": {"svm": {}}}, "config: methods.svm.inputs: must be given; allowed: list of one or more"),
        (
            {"methods": {"two_stream": {"inputs": ["of"], "batch_videos": 8.0}}},
            "config: methods.two_stream.batch_videos: 8.0 is not allowed; allowed: whole number",
        ),
        (
            {"methods": {"two_stream": {"inputs": ["of"], "flow": {"dropout": 1}}}},
            "config: methods.two_stream.flow.dropout: 1 is not allowed; allowed: number ≥ 0, < 1",
        ),
        (
            {"methods": {"svm": {"inputs": ["of"], "C": float("nan")}}},
            "config: methods.svm.C: nan is not allowed; give a finite number",
        ),
        (
            {"features": {"frozen": {"input_size": 0}}},
            "config: features.frozen.input_size: 0 is not allowed; allowed: whole number ≥ 1, ≤ 2048",
        ),
        ({"fusion": {"weights": {"rgb": float("nan")}}}, "config: fusion.weights.rgb: nan is not allowed"),
        ({"flow": {"bound": float("inf")}}, "config: flow.bound: inf is not allowed; give a finite number"),
        (
            {"comparison": ["table4"]},
            "config: comparison: 'table4' is none of ma52, table1, table2, table3, the files of",
        ),
        ({"model": {"backbone": "res{x}"}}, "config: model.backbone: 'res{x}' has {, which Snakemake replaces"),
        ({"explain": {"clips": ["a/<b"]}}, "config: explain.clips[0]: 'a/<b' has <, which Snakemake replaces"),
        ({"explain": {"clips": ["a/" + "b" * 250]}}, "is too long; names may have 200 bytes, paths 2000"),
        ({"compute": {"device": "gpu"}}, "config: compute.device: 'gpu' is not allowed; allowed: text `^(auto|cpu"),
    ],
)
def test_a_mistake_names_key_value_and_what_is_allowed(changes: dict[str, Any], words: str) -> None:
    assert words in refusal(NEEDED | changes)


@pytest.mark.parametrize(
    ("results", "words"),
    [
        ("/", "is the root of all folders"),
        ("/.//", "is the root of all folders"),
        ("a<b", "has <, which Snakemake replaces"),
        ("a{b", "has {, which Snakemake replaces"),
        ("a\tb", r"has the control character '\t'"),
        ("x" * 300, "is too long"),
        ("é" * 101, "is too long"),
        ("abc/" * 600, "is too long"),
        ("file", "'file' cannot be a folder, because"),
        ("file/below/it", "'file/below/it' cannot be a folder, because"),
        ("loop/below", "'loop/below' cannot be used as a path"),
        ("~/results", "begins with ~"),
        ("s3://bucket/results", "would be read as an address"),
        ("a:b", "would be read as an address, as http: is; write ./a:b"),
        ("--cores", "begins with -"),
        ("", "is not allowed; allowed: text that is not empty"),
    ],
)
def test_results_that_cannot_be_a_folder_are_refused(
    results: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    line = refusal({"dataset": {"importer": "folder", "path": "videos"}, "results": results})
    assert line.startswith("config: results: ")
    assert words in line


def test_a_config_without_mistakes_is_taken_with_spaces_and_letters_of_any_script_in_its_names() -> None:
    values = {"dataset": {"importer": "folder", "path": "/videos/{copy}"}, "results": "o u t/日本 'é' $x"}
    filled, found = checked_config(values | {"explain": {"clips": ["手/a b", "wave/ש"]}})
    assert (found.results, found.dataset.path) == (values["results"], "/videos/{copy}")
    assert filled["explain"]["clips"] == ["手/a b", "wave/ש"]


def test_an_option_of_features_may_have_the_name_of_a_streams_schedule() -> None:
    values = {"dataset": {"importer": "folder", "path": "videos"}, "methods": {"idt": {"inputs": ["idt"]}}}
    filled, found = checked_config(values | {"features": {"idt": {"flow": "farneback"}}})
    assert filled["features"]["idt"] == {"flow": "farneback"}
    assert found.sources("idt") == ("rgb",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("shards: 3\nflow: {bound: 3}\nshards: 4", "line 3: key 'shards' is given twice, first in line 1; keep one"),
        ("training:\n  rgb:\n    epochs: 1\n    'epochs': 2", "line 4: key 'epochs' is given twice, first in line 3"),
        ("methods:\n- {a: 1,\n   a: 1}", "line 3: key 'a' is given twice, first in line 2"),
        ('{"shards": 3, "flow": {"bound": 1, "bound": 2}}', "key 'bound' is given twice; keep one"),
        ("a: [1", "line 1: not YAML"),
        ("a: 'b\nc: d", "not YAML"),
        ("a: \x07", "not YAML"),
        ("a: !!python/name:os.system", "not YAML"),
        ("a: 2020-13-45", "not YAML"),
        ("- a", "has ['a'] instead of keys and values"),
        ("word", "has 'word' instead of keys and values"),
        ("", "has nothing instead of keys and values"),
        ("[" * 3000, "nested too deeply"),
    ],
)
def test_a_text_that_is_no_config_names_file_and_line(text: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_config(text, "own.yaml")
    assert str(caught.value).startswith("config: own.yaml: ")
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin1.yaml").write_bytes("results: é".encode("latin-1"))
    with pytest.raises(UserError, match=re.escape("latin1.yaml: is not UTF-8")):
        read_config(tmp_path / "latin1.yaml")
    with pytest.raises(UserError, match=re.escape("absent.yaml: cannot be read (No such file")):
        read_config(tmp_path / "absent.yaml")


def test_values_of_yaml_that_are_no_plain_values_are_named() -> None:
    values = NEEDED | parse_config("results: 2020-01-01", "own.yaml")
    assert refusal(values) == "config: results: 2020-01-01 is read as a date; put it in quotes for text"
    values = NEEDED | parse_config("variants: &x [*x]", "own.yaml")
    assert refusal(values) == "config: variants[0]: contains itself; write its values out"


def test_an_anchor_that_is_merged_is_no_key_given_twice() -> None:
    text = "base: &base {epochs: 3}\nrgb: {<<: *base, epochs: 4}\nflow: {<<: *base}"
    assert parse_config(text, "own.yaml")["rgb"] == {"epochs": 4}


def test_all_mistakes_of_a_config_are_found_at_once() -> None:
    changes = {"shards": 0, "training": {"epochz": 3, "rgb": {"epochs": "many"}}, "variants": ["3-levels"], "foo": 1}
    problems, found = config_problems(NEEDED | changes)
    keys = ["foo", "shards", "training.epochz", "training.rgb.epochs", "variants[0]"]
    assert sorted(line.split(":")[1].strip() for line in problems) == keys
    assert found is not None
    assert (found.shards, found.training.rgb.epochs) == (16, 80)
    assert config_problems(NEEDED) == ([], checked_config(NEEDED)[1])


def test_keys_are_checked_against_each_other_where_each_is_right_by_itself() -> None:
    changes: dict[str, Any] = {"submission": "2-level", "explain": {"fold": 4}}
    both, _ = config_problems(NEEDED | changes)
    assert [line.split(":")[1] for line in both] == [" submission", " explain.fold"]
    one, _ = config_problems(NEEDED | changes | {"shards": 0})
    assert [line.split(":")[1] for line in one] == [" shards"]


@pytest.mark.parametrize("dataset", [{}, {"importer": "foldr"}, {"importer": "folder"}, 3, None])
def test_a_config_whose_videos_are_mistaken_has_its_other_mistakes_named(dataset: Any) -> None:
    problems, found = config_problems({"dataset": dataset, "shards": 0})
    assert found is None
    assert [line for line in problems if "shards" in line]
    assert 2 <= len(problems) <= 4, problems
