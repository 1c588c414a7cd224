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
            "--list", help="csv file of the clips, as of dataset.importer: list.", show_default="all of FOLDER"
        ),
    ] = None,
) -> None:
    """Examine a folder of videos and write a config that suits them and this machine.

    Every video is decoded to its end. The config explains every choice. No file is overwritten.
    """
    import torch

    from stp.models.backbones import bninception_path
    from stp.setup.draft import Resources, config_text, draft, frame_size
    from stp.setup.survey import motion, survey_folder, survey_text
    from stp.system.files import complete_file
    from stp.system.machine import free_disk, process_memory, processors

    config = output or Path(f"{folder.resolve().name}.yaml")
    if config.exists():
        raise UserError(f"--output: '{config}' exists and is left as it is; name another file with -o")
    results = Path("results/own") / config.stem  # named by the config: folders of the same name have different ones
    if folder.resolve() in results.resolve().parents:
        raise UserError(f"FOLDER: '{folder}' would hold its own results, '{results}'; call stp init from outside of it")
    survey = survey_folder(folder, processors(), lists)
    print(survey_text(survey))
    gpu = torch.cuda.is_available()
    resources = Resources(processors(), process_memory().free, free_disk(results), gpu, bninception_path())
    size = frame_size(survey, gpu)
    chosen = draft(survey, folder, results, motion(survey.videos, *size), resources)
    with complete_file(config) as temporary:
        temporary.write_text(config_text(survey, chosen, resources), encoding="utf-8")
    print(f"\nwrote {config}: read it, then type\n\n    stp run {shlex.quote(str(config))}")


@app.command()
def doctor(
    results: Annotated[Path, typer.Argument(help="Folder that will hold the results.")] = Path("results"),
    gpu: Annotated[
        bool, typer.Option("--gpu", help="Try the GPU, too: flow, a training step, scoring; a minute.")
    ] = False,
) -> None:
    """Report what this machine offers, what is used of it, and how to fix what is missing.

    Exit status 0 means that `make table1` can run here, and with --gpu that the GPU works.
    """
    from stp.setup.doctor import can_run, examine_machine, report

    findings = examine_machine(results)
    if gpu and can_run(findings):
        from stp.setup.gpu_trial import try_gpu
        from stp.system.devices import reserved_device, use

        with reserved_device("cuda") as device:
            use(device)
            findings += try_gpu(device)
    print(report(findings))
    if not can_run(findings):
        raise typer.Exit(1)
