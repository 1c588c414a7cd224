"""The check of a config before any job: its text, types and ranges by the schema, keys against each other, and paths.

Everything is one call, `checked_config`, which takes a few hundredths of a second and needs no Snakemake. Every mistake
is one `UserError` that names the key, its value and what is allowed.
"""

import copy
import json
import math
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, validators
from jsonschema.exceptions import ValidationError, best_match

from stp.config import Config
from stp.errors import UserError, did_you_mean

PACKAGE = Path(__file__).resolve().parent
# What a clone has beside the package: the Snakefile, workflow, config, profiles. A wheel has them within it (setup.py).
ROOT = PACKAGE / "clone" if (PACKAGE / "clone").is_dir() else PACKAGE.parent
SCHEMA = "workflow/schemas/config.schema.yaml"
REPORTED = "config/reported"
KINDS = {
    "boolean": "true or false",
    "string": "text",
    "object": "keys and values",
    "integer": "whole number",
    "number": "number",
}
BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
ADDRESS = re.compile(r"[A-Za-z0-9+.-]+:")  # what FFmpeg takes for a protocol
SHOWN = 80  # letters of a wrong value that a message repeats
LONGEST_NAME, LONGEST_PATH = 200, 2000  # bytes; systems have 255 and 4096, and names of files are put behind
PLACEHOLDERS = "{}<>"  # Snakemake replaces what stands between them
# The keys without a default, and what stands in for them where the rest of a config is checked without them.
NEEDED = {"dataset.importer": "folder", "dataset.path": "videos"}
NO_CONTENT = ("Cc", "Cs", "Zl", "Zp")  # Unicode's categories of control characters, surrogates and line ends


def allowed(entry: Mapping[str, Any]) -> str:
    """The values that an entry of the schema allows, in words."""
    if "enum" in entry:
        return ", ".join(f"`{value}`" for value in entry["enum"])
    if choices := entry.get("anyOf") or entry.get("oneOf"):
        return " or ".join(allowed(choice) for choice in choices)
    kind = entry.get("type", "any")
    if kind == "array":
        most = f", at most {entry['maxItems']}" if "maxItems" in entry else ""
        different = ", all different" if entry.get("uniqueItems") else ""
        return f"list of {'one or more: ' if entry.get('minItems') else ''}{allowed(entry['items'])}{most}{different}"
    if "properties" in entry:
        return f"the keys {', '.join(entry['properties'])}"
    if isinstance(kind, list):
        return " or ".join(KINDS[name] for name in kind)
    parts = [f"{sign} {entry[name]}" for name, sign in BOUNDS.items() if name in entry]
    if "multipleOf" in entry:
        parts.append("even" if entry["multipleOf"] == 2 else f"a multiple of {entry['multipleOf']}")
    if "pattern" in entry:
        parts.append(f"`{entry['pattern']}`")
    if entry.get("minLength"):
        parts.append("that is not empty")
    return " ".join([KINDS.get(kind, str(kind)), *([", ".join(parts)] if parts else [])])


class _Loader(yaml.SafeLoader):
    """Reads YAML, and refuses a key that is given twice, of which others take the last one without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[Any, int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                name, line = self.construct_object(key), key.start_mark.line + 1
                if name in lines:
                    raise UserError(f"line {line}: key '{name}' is given twice, first in line {lines[name]}; keep one")
                lines[name] = line
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; UserError if a key is given twice."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise UserError(f"key '{name}' is given twice; keep one")
        found[name] = value
    return found


def parse_config(text: str, source: str) -> dict[str, Any]:
    """The values of a config in JSON or YAML; `source` is what messages call it.

    Raises:
        UserError: the text is neither, is no mapping, or gives a key twice at any depth.
    """
    try:
        try:
            values = json.loads(text, object_pairs_hook=_unique)
        except ValueError:
            values = yaml.load(text, _Loader)
    except UserError as error:
        raise UserError(f"config: {source}: {error}") from None
    except RecursionError:
        raise UserError(f"config: {source}: is nested too deeply; a config has sections, keys and lists") from None
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError) as error:  # as its constructors raise
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        reason = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise UserError(f"config: {source}: {line}not YAML ({reason}); quote text that has : # or brackets") from None
    if not isinstance(values, dict):
        raise UserError(f"config: {source}: has {_shown(values)} instead of keys and values, such as `shards: 16`")
    return values


def read_config(path: Path) -> dict[str, Any]:
    """The values of a config file; UserError as from `parse_config`, or if the file cannot be read as UTF-8."""
    try:
        return parse_config(path.read_text(encoding="utf-8-sig"), str(path))
    except UnicodeDecodeError:
        raise UserError(f"config: {path}: is not UTF-8; save it as UTF-8") from None
    except OSError as error:
        raise UserError(f"config: {path}: cannot be read ({error.strerror})") from None


def checked_config(values: Mapping[str, Any], root: Path = ROOT) -> tuple[dict[str, Any], Config]:
    """The values with the defaults of all keys that they leave out, and the config that they are.

    `root` is the folder that holds `workflow/schemas` and `config/reported`.

    Raises:
        UserError: a key, a value or a name is not allowed, or keys contradict each other.
    """
    filled = _checked_values(values, root)
    config = Config.from_values(filled)
    _check_comparison(config.comparison, root / REPORTED)
    return filled, config


def config_problems(values: Mapping[str, Any], root: Path = ROOT) -> tuple[list[str], Config | None]:
    """All mistakes that `checked_config` would find one after another, and the config without them.

    What is refused is left out, and the rest checked again. Keys are checked against each other only where each is
    right by itself. The config is None where what is left out has no default.
    """
    plain: dict[str, Any] = copy.deepcopy(dict(values))
    problems: list[str] = []
    left_out: set[str] = set()

    def note(check: Callable[[dict[str, Any], Path], object]) -> None:
        while words := _refusal(check, plain, root):
            key = _refused_key(words)
            if key in left_out:
                return
            problems.append(words)
            left_out.add(key)
            _leave_out(plain, key)

    note(_checked_values)
    if not problems:
        note(checked_config)
    if left_out & {"dataset", *NEEDED} or _refusal(checked_config, plain, root):
        return problems, None
    return problems, checked_config(plain, root)[1]


def _refusal(check: Callable[[dict[str, Any], Path], object], values: dict[str, Any], root: Path) -> str:
    """The words by which a check refuses the values; empty if it does not."""
    try:
        check(values, root)
    except UserError as error:
        return str(error)
    return ""


def _refused_key(words: str) -> str:
    """The key that a message is about, without numbers of items."""
    return re.sub(r"\[\d+\]", "", words.removeprefix("config: ").partition(":")[0])


def _leave_out(values: dict[str, Any], key: str) -> None:
    """Leave out a key, or give one that is needed a value that is allowed; nothing where it is not there."""
    if key == "dataset":
        values[key] = {name.partition(".")[2]: value for name, value in NEEDED.items()}
        return
    *sections, name = key.split(".")
    section: Any = values
    for part in sections:
        section = section.get(part) if isinstance(section, dict) else None
    if isinstance(section, dict):
        if key in NEEDED:
            section[name] = NEEDED[key]
        else:
            section.pop(name, None)


def _checked_values(values: Mapping[str, Any], root: Path) -> dict[str, Any]:
    """The values with the defaults of all keys they leave out; UserError if a key, value or name is not allowed."""
    schema, plain = _schema(root / SCHEMA), _plain(values, "")
    validator = _Validator(schema)
    _check(validator, plain, "")
    filled: dict[str, Any] = _filled(schema, plain, schema)
    # Entries of these sections may have keys of other sections.
    shared = {"methods": ("model", "training", "pyramid"), "features": ("model",)}
    for section, others in shared.items():
        own = {name: entry for other in others for name, entry in _entries(schema, other).items()}
        for name, options in filled[section].items():
            known = {key: value for key, value in options.items() if key in own}
            _check(validator.evolve(schema={"properties": own, "$defs": schema["$defs"]}), known, f"{section}.{name}")
    _check_names(filled)
    return filled


@cache
def _schema(path: Path) -> dict[str, Any]:
    schema: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return schema


def _entries(schema: Mapping[str, Any], section: str) -> Mapping[str, Any]:
    """The entries of a section's keys."""
    entries: Mapping[str, Any] = schema["properties"][section]["properties"]
    return entries


def _is_integer(checker: object, value: object) -> bool:
    """True for 3, not for 3.0, which JSON Schema takes for an integer, too."""
    return isinstance(value, int) and not isinstance(value, bool)


_Validator = validators.extend(
    Draft202012Validator, type_checker=Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_integer)
)


def _key(where: str, name: str | int) -> str:
    """The path of a key or a list's item below another key."""
    if isinstance(name, int):
        return f"{where}[{name}]"
    return f"{where}.{name}" if where else name


def _shown(value: Any) -> str:
    """A value in messages: on one line, and not without end."""
    if value is None:
        return "nothing"
    words = repr(value)
    return words if len(words) <= SHOWN else f"{words[:SHOWN]}..."


def _plain(value: Any, where: str, above: tuple[int, ...] = ()) -> Any:
    """A copy of dicts, lists, texts, numbers, truth values and None; UserError for anything that is none of them.

    `above` are the ids of the containers that hold the value.
    """
    if id(value) in above:
        raise UserError(f"config: {where}: contains itself; write its values out")
    if isinstance(value, Mapping):
        copied = {}
        for name, below in value.items():
            if not isinstance(name, str):
                raise UserError(f"config: {_key(where, str(name))}: the key is {_shown(name)}, not text; quote it")
            _check_letters(name, where)
            copied[name] = _plain(below, _key(where, name), (*above, id(value)))
        return copied
    if isinstance(value, (list, tuple)):
        return [_plain(below, _key(where, i), (*above, id(value))) for i, below in enumerate(value)]
    if isinstance(value, str):
        _check_letters(value, where)
    elif isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"config: {where}: {value} is not allowed; give a finite number")
    elif value is not None and not isinstance(value, (bool, int, float)):
        raise UserError(f"config: {where}: {value} is read as a {type(value).__name__}; put it in quotes for text")
    return value


def _check_letters(text: str, where: str) -> None:
    """Raise UserError if a text has letters that cannot be seen, which commands, paths and pages would stumble on."""
    for letter in text:
        if unicodedata.category(letter) in NO_CONTENT:
            raise UserError(
                f"config: {where or 'top level'}: {_shown(text)} has the control character {letter!a}; remove it"
            )


def _check(validator: Any, values: Any, where: str) -> None:
    """Raise UserError for the clearest of the mistakes that the schema finds in the values of the key `where`."""
    error = best_match(validator.iter_errors(values))
    if error is not None:
        raise UserError(f"config: {_mistake(error, where)}")


def _mistake(error: ValidationError, where: str) -> str:
    """Key, value and what is allowed, on one line."""
    for name in error.absolute_path:
        where = _key(where, name)
    value, entry = error.instance, error.schema
    if error.validator == "additionalProperties":
        name, known = next(key for key in value if key not in entry["properties"]), list(entry["properties"])
        question = did_you_mean(name, known)
        return f"{_key(where, name)}: unknown key; {question + ' ' if question else ''}allowed are {', '.join(known)}"
    if error.validator == "required":
        name = next(key for key in error.validator_value if key not in value)
        return f"{_key(where, name)}: must be given; allowed: {allowed(entry['properties'][name])}"
    if "propertyNames" in error.absolute_schema_path:
        return f"{where}: the name {_shown(value)} is not allowed; allowed: {allowed({'type': 'string', **entry})}"
    return f"{where or 'top level'}: {_shown(value)} is not allowed; allowed: {allowed(entry)}"


def _filled(entry: Mapping[str, Any], values: Any, schema: Mapping[str, Any]) -> Any:
    """The values with the schema's defaults behind them; the order is that of `snakemake.utils.validate`."""
    if "$ref" in entry:
        entry = schema["$defs"][entry["$ref"].rsplit("/", 1)[1]]
    if not isinstance(values, dict):
        return values
    filled = dict(values)
    for name, below in entry.get("properties", {}).items():
        if name not in filled and "default" in below:
            filled[name] = copy.deepcopy(below["default"])
    for name, below in entry.get("properties", {}).items():
        if name in filled:
            filled[name] = _filled(below, filled[name], schema)
    return filled


def _check_names(values: Mapping[str, Any]) -> None:
    """Raise UserError for names that neither Snakemake nor a file system takes as they are."""
    dataset, model = values["dataset"], values["model"]
    written = [("results", values["results"])]  # and recorded
    written += [("dataset.path", dataset["path"])] if "demo" in values else []
    written += [(f"model.{key}", model[key]) for key in ("backbone", "weights")]
    explained = [(f"explain.clips[{i}]", clip) for i, clip in enumerate(values["explain"]["clips"])]
    for key, name in written + explained:
        if found := [letter for letter in name if letter in PLACEHOLDERS]:
            instead = "explain the clip by `stp explain`" if key.startswith("explain") else "choose another name"
            raise UserError(f"config: {key}: {_shown(name)} has {found[0]}, which Snakemake replaces; {instead}")
    shown = [(f"examples.clips[{i}]", clip) for i, clip in enumerate(values["examples"]["clips"])]
    for key, name in [*shown, ("explain.class", values["explain"]["class"])]:
        if "<" in name:
            raise UserError(f"config: {key}: {_shown(name)} has <, which is markup in Snakemake's report; leave it out")
    read = [("dataset.path", dataset["path"]), ("dataset.lists", dataset["lists"]), ("model.weights", model["weights"])]
    for key, name in [*written, *read, *explained]:
        size, longest = len(name.encode()), max(len(part.encode()) for part in name.split("/"))
        if longest > LONGEST_NAME or size > LONGEST_PATH:
            raise UserError(
                f"config: {key}: {_shown(name)} is too long; names may have {LONGEST_NAME} bytes, paths {LONGEST_PATH}"
            )
    for key, name in [written[0], *read]:
        try:
            Path(name).resolve()
        except (OSError, RuntimeError) as error:
            raise UserError(f"config: {key}: {_shown(name)} cannot be used as a path ({error})") from None
        if ADDRESS.match(name):
            raise UserError(f"config: {key}: {_shown(name)} would be read as an address, as http: is; write ./{name}")
        if name.startswith(("-", "~")):
            raise UserError(f"config: {key}: {_shown(name)} begins with {name[0]}; write the whole path, or ./{name}")
    _check_results(Path(values["results"]))


def _check_results(results: Path) -> None:
    """Raise UserError if the results folder cannot be one."""
    folder = results.resolve()
    if folder == Path(folder.anchor):
        raise UserError(f"config: results: '{results}' is the root of all folders; name a folder below it")
    for place in (folder, *folder.parents):
        if os.path.exists(place) and not os.path.isdir(place):
            raise UserError(f"config: results: '{results}' cannot be a folder, because '{place}' is a file")


def _check_comparison(names: Sequence[str], reported: Path) -> None:
    """Raise UserError for a comparison without a file of what others report."""
    known = sorted(path.stem for path in reported.glob("*.csv"))
    for name in names:
        if name not in known:
            raise UserError(f"config: comparison: '{name}' is none of {', '.join(known)}, the files of {reported}")
