"""First steps: a report on what the machine offers, and a first config for your own videos."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from stp.cli.app import app
from stp.errors import UserError


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Folder of your videos: CLASS/clip.avi or train/CLASS/clip.avi.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Config to write.", show_default="FOLDER's name.yaml")
    ] = None,
    lists: Annotated[
        Path | None,
        typer.Option(
            "--list",
            help="csv file of the clips, as of dataset.importer: list; start and end cut them out of long videos.",
            show_default="all of FOLDER",
        ),
    ] = None,
    group: Annotated[
        str,
        typer.Option(
            metavar="REGEX",
            help="What tells in a clip's id, CLASS/clip, who acts or which recording it is of: the clips of one are "
            "kept on one side of each fold. Its first part in brackets counts, as in '_(a[0-9]+)_'.",
            show_default=False,
        ),
    ] = "",
    groups: Annotated[
        Path | None,
        typer.Option(help="csv file with the columns clip and group, which says the same.", show_default=False),
    ] = None,
) -> None:
    """Examine a folder of videos and write a config that suits them and this machine.

    Every video is decoded to its end. The config explains every choice. No file is overwritten.

    Examples:

        stp init videos
        stp init videos --group '_(a[0-9]+)_'
        stp init videos --list clips.csv
    """
    import torch

    from stp.models.backbones import bninception_path
    from stp.setup.draft import Resources, config_text, draft, frame_size, time_words
    from stp.setup.survey import motion, survey_folder, survey_text
    from stp.system.files import complete_file
    from stp.system.machine import free_disk, process_memory, processors

    config = output or Path(f"{folder.resolve().name}.yaml")
    if config.exists():
        raise UserError(f"--output: '{config}' exists and is left as it is; name another file with -o")
    results = Path("results/own") / config.stem  # named by the config: folders of the same name have different ones
    if folder.resolve() in results.resolve().parents:
        raise UserError(f"FOLDER: '{folder}' would hold its own results, '{results}'; call stp init from outside of it")
    if len([option for option in (lists, group, groups) if option]) > 1:
        raise UserError("--list, --group, --groups: each says what the groups are; give one of them")
    options = {"group": group} if group else {}
    survey = survey_folder(folder, processors(), "list" if lists else "folder", lists or groups, options)
    print(survey_text(survey))
    gpu = torch.cuda.is_available()
    resources = Resources(processors(), process_memory().free, free_disk(results), gpu, bninception_path())
    size = frame_size(survey, gpu)
    chosen = draft(survey, folder, results, motion(survey.videos, *size), resources)
    with complete_file(config) as temporary:
        temporary.write_text(config_text(survey, chosen, resources), encoding="utf-8")
    if not gpu:
        epochs, time = chosen.epochs, time_words(survey, chosen, resources.processors)
        print(f"\nepochs  {epochs['rgb']} of RGB, {epochs['flow']} of flow: {time}")
    print(f"\nwrote {config}: read it, then type\n\n    stp run {shlex.quote(str(config))}")


@app.command()
def doctor(
    config: Annotated[
        Path, typer.Argument(metavar="[CONFIG]", help="A config, or the folder that will hold the results.")
    ] = Path("results"),
    gpu: Annotated[
        bool, typer.Option("--gpu", help="Try the GPU, too: flow, a training step, scoring; a minute.")
    ] = False,
) -> None:
    """Report what this machine offers, what is used of it, and how to fix what is missing.

    Exit status 0 means that the config, or `make table1` where none is given, can run here, and with --gpu that the GPU
    works.
    """
    from stp.setup.doctor import can_run, examine_machine, report

    problems: list[str] = []
    name, results = "make table1", config
    if config.is_file() or config.suffix in (".yaml", ".yml", ".json"):
        from stp.config_check import config_problems, read_config
        from stp.setup.check import EVERYTHING, check

        problems, read = config_problems(read_config(config))
        name, results = str(config), Path(read.results) if read else Path("results")
        if read:
            problems += check(read, EVERYTHING).problems
    findings = examine_machine(results)
    if gpu and can_run(findings):
        from stp.setup.gpu_trial import try_gpu
        from stp.system.devices import reserved_device, use

        with reserved_device("cuda") as device:
            use(device)
            findings += try_gpu(device)
    print(report(findings, name, problems))
    if problems or not can_run(findings):
        raise typer.Exit(1)
