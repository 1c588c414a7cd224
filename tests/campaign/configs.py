"""Configs made from the schema: healthy ones are taken, those with one wrong key are refused in a line that names it.

All go through the check that the Snakefile calls before anything else; every tenth goes through `snakemake -n`, too.
"""

import copy
import math
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.campaign.case import RIGHT, Case, Verdict, shown
from tests.campaign.command import ROOT, Ended, Launcher, crash, refusal

SCHEMA: dict[str, Any] = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
BASE: dict[str, Any] = {
    "results": "results",
    "dataset": {"importer": "demo", "path": "results/videos"},
    "demo": {"frames": 24},
    "shards": 2,
    "splits": {"folds": 2},
    "model": {"backbone": "convnet", "weights": "none"},
    "training": {"partial_bn": False},
}
HEALTHY = 120
DRY_RUNS = 10  # one config in so many is also given to Snakemake
SECONDS = 30.0

Keys = tuple[str, ...]

# Keys that contradict one another, or whose values are names: they are not drawn, but listed below.
BOUND = ("dataset", "demo", "results", "explain", "submission", "methods", "features", "comparison", "examples")
BOUND_KEYS = {
    ("compute", "micro_batch_videos"),
    ("compute", "compile"),
    ("compute", "device"),
    ("model", "backbone"),
    ("model", "weights"),
    ("splits", "scheme"),
    ("splits", "folds"),
    ("fusion", "learned"),
    ("shards",),
    ("variants",),
}
LISTED: list[dict[str, Any]] = [
    {"results": "o u t", "dataset": {"importer": "demo", "path": "o u t/videos"}},
    {"results": "结果", "dataset": {"importer": "demo", "path": "结果/videos"}},
    {"results": "100%", "dataset": {"importer": "demo", "path": "100%/videos"}},
    {"results": "it's", "dataset": {"importer": "demo", "path": "it's/videos"}},
    {"demo": {"frames": 12, "clips_per_class": 1, "actors": 1}},
    {"explain": {"clips": ["passing/passing_a00_000"], "variants": ["baseline"]}},
    {"submission": "3-level", "splits": {"folds": 1}},
    {"methods": {"two_stream": {"inputs": ["rgb", "of"]}, "svm": {"inputs": ["rgb"], "features": "frozen"}}},
    {"features": {"frozen": {"images": 8}}, "methods": {"svm": {"inputs": ["of"], "features": "frozen"}}},
    {"comparison": []},
    {"fusion": {"learned": True}},
    {"comparison": ["table2", "table3", "ma52"]},
    {"examples": {"number": 0}},
    {"compute": {"device": "cuda:1"}},
    {"training": {"partial_bn": True}, "compute": {"micro_batch_videos": 4}},
]
# What one key says against another, and the keys of which the message must name one.
CONTRADICTIONS: list[tuple[dict[str, Any], Keys]] = [
    ({"dataset": {"importer": "demo", "path": "elsewhere"}}, ("dataset.path",)),
    ({"compute": {"micro_batch_videos": 4}}, ("compute.micro_batch_videos",)),
    ({"submission": "3-level"}, ("submission",)),
    ({"fusion": {"learned": True}, "splits": {"folds": 1}}, ("fusion.learned",)),
    ({"fusion": {"learned": True}, "modalities": ["of"]}, ("fusion.learned",)),
    ({"submission": "9-level", "splits": {"folds": 1}}, ("submission",)),
    ({"explain": {"clips": ["a/b"], "variants": ["9-level"]}}, ("explain.variants",)),
    ({"explain": {"clips": ["a/b"], "variants": ["baseline"], "fold": 5}}, ("explain.fold",)),
    ({"explain": {"clips": ["a/b", "a__b"], "variants": ["baseline"]}}, ("explain.clips",)),
    ({"methods": {"3-level": {"inputs": ["rgb"]}}}, ("methods.3-level",)),
    ({"methods": {"two_stream": {"inputs": ["rgb+rgb"]}}}, ("methods.two_stream",)),
    ({"modalities": ["rgb"], "methods": {"svm": {"inputs": ["of"], "features": "frozen"}}}, ("methods.svm",)),
    ({"features": {"frozen": {}}}, ("features.frozen",)),
    ({"comparison": ["table9"]}, ("comparison",)),
    ({"comparison": ["../../x"]}, ("comparison",)),
    ({"dataset": {"importer": "nobody", "path": "results/videos"}}, ("importer",)),
    ({"dataset": {"importer": "demo"}}, ("path", "dataset")),
    ({"dataset": {"path": "results/videos"}}, ("importer", "dataset")),
    *[
        ({"results": name, "dataset": {"importer": "demo", "path": f"{name}/videos"}}, ("results",))
        for name in ("", "a<b", "a>b", "a{b}", "a{b", "x" * 300, "a\nb", "a\tb", "a\x7fb", "\u2028")
    ],
    ({"variants": ["baseline\n"]}, ("variants",)),
    ({"variants": ["10-level"]}, ("variants",)),
    ({"compute": {"device": "gpu"}}, ("compute.device", "device")),
    ({"compute": {"device": ""}}, ("compute.device", "device")),
    ({"model": {"backbone": ""}}, ("model.backbone", "backbone")),
]


def entries(schema: Mapping[str, Any] = SCHEMA, above: Keys = ()) -> Iterator[tuple[Keys, dict[str, Any]]]:
    """Every key of the schema, sections first, with its entry."""
    for name, entry in schema.get("properties", {}).items():
        if "$ref" in entry:
            entry = SCHEMA["$defs"][entry["$ref"].rpartition("/")[2]]
        yield (*above, name), entry
        yield from entries(entry, (*above, name))


def least(entry: Mapping[str, Any]) -> float:
    """The smallest number allowed, or what is just above a bound that is not."""
    bound: float = entry.get("minimum", entry.get("exclusiveMinimum", 0))
    return bound


def drawn(entry: Mapping[str, Any], chance: random.Random) -> Any:
    """A value that an entry allows."""
    if "enum" in entry:
        return chance.choice(entry["enum"])
    kind = entry.get("type")
    if kind == "boolean":
        return chance.random() < 0.5
    if kind == "integer":
        first = int(least(entry))
        last = min(first + 9, entry.get("maximum", math.inf))
        step = entry.get("multipleOf", 1)
        return chance.randrange(first, int(last) + 1, step)
    if kind == "number":
        last = min(entry.get("maximum", entry.get("exclusiveMaximum", 100)), 100)
        return round(least(entry) + (last - least(entry)) * chance.uniform(0.05, 0.95), 4)
    if kind == "array":
        values = [drawn(entry["items"], chance) for _ in range(chance.randint(1, 3))]
        return list(dict.fromkeys(values)) if entry.get("uniqueItems") else values
    return entry["default"]


def broken(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Values that an entry does not allow, by what is wrong with them."""
    kind = entry.get("type")
    values: dict[str, Any] = {"list": [[1]], "nothing": None}
    if kind == "object":
        return {"text": "text", "list": [1], "unknown key": {"no_such_key": 1}}
    if kind in ("integer", "number"):
        values |= {"text": "3", "truth": True, "nan": math.nan, "inf": math.inf, "minus inf": -math.inf}
        values["below"] = least(entry) - (0 if "exclusiveMinimum" in entry else 1)
        values["minus huge"] = -(10**30)
        if kind == "integer" or "maximum" in entry or "exclusiveMaximum" in entry:
            values["huge"] = 10**30
        if "maximum" in entry:
            values["above"] = entry["maximum"] + 1
        if "exclusiveMaximum" in entry:
            values["above"] = entry["exclusiveMaximum"]
    if kind == "integer":
        values |= {"N.0": float(max(2, least(entry))), "half": least(entry) + 1.5}
    if kind == "boolean":
        values |= {"text": "true", "number": 1}
    if "enum" in entry:
        values |= {"other": "no such word", "line end": f"{entry['enum'][0]}\n", "number": 12345, "truth": True}
    elif kind == "string":
        values |= {"number": 1, "truth": True, "control": "a\x01b", "line end": "a\nb"}
    if kind == "array":
        values = {"nothing": None, "scalar": 1, "mapping": {"a": 1}, "of lists": [[1]], "of nothing": [None]}
        if entry.get("minItems"):
            values["empty"] = []
        if entry.get("uniqueItems") and entry.get("default"):
            values["twice"] = [entry["default"][0]] * 2
        if entry["items"].get("type") in ("integer", "number"):
            values |= {f"of {name}": [value] for name, value in broken(entry["items"]).items()}
    return values


def placed(config: Mapping[str, Any], keys: Keys, value: Any) -> dict[str, Any]:
    """A copy of a config with a value put at the keys."""
    changed = copy.deepcopy(dict(config))
    section = changed
    for name in keys[:-1]:
        section = section.setdefault(name, {})
    if keys[-1] in section and isinstance(section[keys[-1]], dict) and isinstance(value, dict):
        value = section[keys[-1]] | value
    section[keys[-1]] = value
    return changed


def healthy(seed: int) -> Iterator[dict[str, Any]]:
    """Configs to be taken: each has some of its keys drawn, or is one of those listed."""
    chance = random.Random(f"{seed}/healthy")
    yield BASE
    for listed in LISTED:
        yield {**BASE, **listed}
    free = [
        (keys, entry)
        for keys, entry in entries()
        if keys[0] not in BOUND and keys not in BOUND_KEYS and entry.get("type") != "object"
    ]
    while True:
        config = BASE
        for keys, entry in chance.sample(free, chance.randint(1, 5)):
            config = placed(config, keys, drawn(entry, chance))
        yield config


def wrong() -> Iterator[tuple[str, dict[str, Any], Keys]]:
    """What is wrong, the config, and the words of which the message must have one."""
    for keys, entry in entries():
        path = ".".join(keys)
        for kind, value in broken(entry).items():
            named = "no_such_key" if kind == "unknown key" else path
            yield f"{path}: {kind}", placed(BASE, keys, value), (named, f"{keys[-1]}:")
        if keys[:-1] != ("dataset", "options"):
            yield f"{path}s: unknown", placed(BASE, (*keys[:-1], f"{keys[-1]}z"), 1), (f"{keys[-1]}z",)
    for number, (changes, words) in enumerate(CONTRADICTIONS):
        yield f"contradiction {number} of {', '.join(changes)}", {**BASE, **changes}, words


def cases(results: Path, seed: int) -> list[Case]:
    """Healthy configs, then wrong ones, then texts with a key twice and texts that are no config."""
    found = []
    for number, config in zip(range(HEALTHY), healthy(seed), strict=False):
        found.append(Case(f"configs/healthy/{number}", taken(f"configs/healthy/{number}", text_of(config), number)))
    for number, (name, config, words) in enumerate(wrong()):
        case = f"configs/wrong/{name}"
        found.append(Case(case, refused(case, text_of(config), words, number)))
    for number, (name, text, words) in enumerate(texts()):
        case = f"configs/text/{name}"
        found.append(Case(case, refused(case, text, words, number)))
    return found


def texts() -> Iterator[tuple[str, str, Keys]]:
    """Texts that no dump of values gives: keys given twice, and what is no config at all."""
    text = text_of(BASE)
    for key in BASE:
        yield (
            f"{key} twice",
            f"{text}{key}: {yaml.safe_dump(BASE[key], default_flow_style=True).splitlines()[0]}\n",
            (key,),
        )
    yield "shards twice below", text.replace("folds: 2", "folds: 2\n  folds: 3"), ("folds",)
    for name, words in {
        "empty": "",
        "a list": "- 1\n",
        "a word": "word\n",
        "unfinished": "a: [1\n",
        "tabs": "a:\n\t- b",
    }.items():
        yield name, words, ("config", "keys", "mapping")
    yield "an alias of itself", f"{text}storage: &a\n  format: *a\n", ("storage", "format", "config")


def text_of(config: Mapping[str, Any]) -> str:
    """A config as YAML; what stands twice is written twice."""

    class Plain(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    return yaml.dump(dict(config), Dumper=Plain, sort_keys=False)


def checks(launcher: Launcher, folder: Path, text: str, number: int) -> Iterator[Ended]:
    """The check of a config and, for some, Snakemake's dry run."""
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    yield launcher.run("call", "tests.campaign.command:check_config", path, cwd=folder, seconds=SECONDS)
    if number % DRY_RUNS == 0:
        words = ["--snakefile", ROOT / "Snakefile", "--directory", folder, "--configfile", path]
        yield launcher.run("snakemake", "-n", *words, "--cores", 1, cwd=folder, seconds=SECONDS)


def taken(case: str, text: str, number: int) -> Callable[[Launcher, Path], Iterator[Verdict]]:
    """A config that must be taken."""

    def run(launcher: Launcher, folder: Path) -> Iterator[Verdict]:
        for ended in checks(launcher, folder, text, number):
            if fault := crash(ended) or ("refused" if ended.code else None):
                yield Verdict(case, fault, f"{text!r}: {shown(ended)}")
                return
        yield Verdict(case, RIGHT)

    return run


def refused(case: str, text: str, words: Keys, number: int) -> Callable[[Launcher, Path], Iterator[Verdict]]:
    """A config that must be refused in one or two lines with one of the words."""

    def run(launcher: Launcher, folder: Path) -> Iterator[Verdict]:
        for ended in checks(launcher, folder, text, number):
            fault = crash(ended) or ("unnoticed" if ended.code == 0 else refusal(ended, *words, lines=2))
            if fault:
                yield Verdict(case, fault, shown(ended))
                return
        yield Verdict(case, RIGHT)

    return run
