"""A check of the files that plain `snakemake` is given as configs.

Snakemake reads them before the workflow, which therefore cannot put mistakes in plain words. It reads a profile before
both, and those of the workflow run this file. Unless the process ends, nothing else of stp is imported, because the
workflow uses the package beside it, which need not be the installed one. `stp run` checks its config itself.
"""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

OPTION = "--configfile"
NO_CONFIGS = (".csv", ".h5", ".html", ".md", ".mp4", ".pdf", ".png", ".pt")  # what results are called


def refuse_mistakes() -> None:
    """End the process with the words of a mistake in the configs that its command line names, if there is one."""
    if words := mistake(sys.argv[1:]):
        sys.exit(words)


def mistake(words: Sequence[str]) -> str:
    """The mistakes in the configs among the words after `snakemake`, in one or two lines; empty if there are none.

    Files are not read. What is no config is a target, unless it is named first, or as configs are.
    """
    configs = named_configs(words)
    wrong = [path for path in configs if path.is_dir() or not path.exists() or path.suffix in NO_CONFIGS]
    targets = [path for path in wrong if path != configs[0] and path.suffix not in (".yaml", ".yml")]
    for path in wrong:
        if path not in targets:
            problem = "does not exist" if not path.exists() else "is a folder" if path.is_dir() else "is no config"
            return f"{OPTION}: '{path}' {problem}; {config_meant(path)}"
    return _after_a_config(targets, [path for path in configs if path not in targets]) if targets else ""


def named_configs(words: Sequence[str]) -> list[Path]:
    """The files that Snakemake takes for configs: all names after `--configfile`, of which the last one counts."""
    configs: list[Path] = []
    taken = False
    for word in words:
        if word == "--":
            break
        option, equals, value = word.partition("=")
        if option in (OPTION, f"{OPTION}s"):
            configs, taken = [Path(value)] if equals else [], not equals
        elif word.startswith("-"):
            taken = False
        elif taken:
            configs.append(Path(word))
    return configs


def config_meant(path: Path) -> str:
    """The config that is nearest to a name that is none, or else how to come by one."""
    from stp.config_check import ROOT
    from stp.errors import did_you_mean

    places = (path.parent, Path(), Path("config"), ROOT / "config")
    known = dict.fromkeys(str(file) for place in places for file in sorted(place.glob("*.yaml")))
    named = next((file for file in known if Path(file).stem == path.stem), "")
    meant = f"did you mean '{named}'?" if named else did_you_mean(str(path), known)
    return meant or "stp init VIDEOS writes one for a folder of videos"


def _after_a_config(targets: Sequence[Path], configs: Sequence[Path]) -> str:
    names, files = (shlex.join(map(str, paths)) for paths in (targets, configs))
    shorter = f" or: stp run {files} {names}" if len(configs) == 1 else ""
    return (
        f"target: '{targets[0]}' was taken for a config, as every name after {OPTION} is; targets come first:\n"
        f"    snakemake {names} {OPTION} {files}{shorter}"
    )
