"""config/README.md, made of the schema: every key with what it means, what is allowed and its default.

python docs/config_keys.py > config/README.md     # or: make config-docs
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from stp.config_check import allowed

SCHEMA = Path(__file__).resolve().parents[1] / "workflow/schemas/config.schema.yaml"

HEADER = """\
# Configuration

A config is one YAML file, named by `snakemake --configfile FILE`; without it the demo's, `config.yaml`, is
read. Targets are named first: `snakemake TARGET --configfile FILE`.
Only `dataset.importer` and `dataset.path` must be given. What is left out has the default below, which is the paper's
value or, where the paper is silent, that of TSN, on which it builds. A misspelt key, or a value that is not allowed, is
refused.

- `stp init VIDEOS` drafts a config for videos in folders of their classes, with the reasons as comments.
- `config/*.yaml` are configs of data sets and of videos of your own; `config.yaml` explains every key, too.
- Deployed by name from the workflow catalog, the workflow reads `config/config.yaml`: copy one of these there, or
  `stp init VIDEOS -o config/config.yaml`. The package itself is installed by `pip install` of its repository.

`make config-docs` writes this file from `workflow/schemas/config.schema.yaml`.

| key | meaning | allowed | default |
|:--|:--|:--|:--|
"""


class Key(NamedTuple):
    """A key of the config, with dots between its sections."""

    name: str
    meaning: str
    allowed: str
    default: str


def keys(schema: dict[str, Any]) -> list[Key]:
    """All keys that hold a value, in the order of the schema."""

    def walk(properties: dict[str, Any], where: str, required: list[str]) -> Iterator[Key]:
        for name, entry in properties.items():
            if "$ref" in entry:
                entry = schema["$defs"][entry["$ref"].rsplit("/", 1)[1]]
            if "properties" in entry:
                yield from walk(entry["properties"], f"{where}{name}.", entry.get("required", []))
                continue
            default = f"`{json.dumps(entry['default'])}`" if "default" in entry else ""
            meaning = " ".join(entry.get("description", "").split())
            yield Key(
                f"{where}{name}",
                meaning,
                allowed(entry).replace("|", "\\|"),
                default or ("must be given" if name in required else ""),
            )

    return list(walk(schema["properties"], "", schema.get("required", [])))


def text(schema: dict[str, Any]) -> str:
    """The whole file."""
    return HEADER + "".join(f"| `{k.name}` | {k.meaning} | {k.allowed} | {k.default} |\n" for k in keys(schema))


if __name__ == "__main__":
    print(text(yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))), end="")
