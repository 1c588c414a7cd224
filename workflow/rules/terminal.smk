# What the terminal shows: a line for each job that ends, what a job that fails said itself, mistakes in their own words,
# and what was meant by a target that does not exist. Everything that Snakemake says of each job is in its log file, and
# shown by --verbose.
import logging
import re

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake_interface_logger_plugins.common import LogEvent

OF_EACH_JOB = (LogEvent.JOB_INFO, LogEvent.JOB_STARTED, LogEvent.JOB_FINISHED)
# Names and files that can be asked for; filled when all rules are known.
TARGETS = []


class Mistake(WorkflowError):
    pass


# Cut the place in the workflow from the words of a mistake, and add what is meant by a target that no rule makes.
def in_plain_words(record):
    kind = getattr(record, "exception", "")
    if kind == "Mistake":
        record.msg = re.sub(r'^Mistake.*:\n|(\n  File ".*)+$', "", record.msg)
    elif kind == "MissingRuleException":
        if asked := re.search(r"No rule to produce (.+) \(if you use", record.msg):
            record.msg = unknown_target(asked[1])
    return True


def unknown_target(name):
    fold = re.search(r"/fold(\d+)(/|$)", name)
    if fold and int(fold[1]) not in FOLDS:
        cure = f"fold {fold[1]} is none of the {len(FOLDS)} folds of splits.folds"
    else:
        cure = did_you_mean(name, TARGETS) or (
            f"targets are {', '.join(target for target in TARGETS if '/' not in target)}, and files below {RESULTS}"
        )
    return f"target: '{name}' is made by no rule; {cure}"


def concerns_the_run(record):
    words = str(record.msg)
    return (
        getattr(record, "event", None) not in OF_EACH_JOB
        and words != "Select jobs to execute..."
        and not (
            words.startswith("RuleException:\nCalledProcessError")
            and "returned non-zero exit status" in words
        )
    )


# Leaves the command out of a job's error: the job has said what was wrong, and the log file has the command.
class WithoutCommands(logging.Formatter):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def format(self, record):
        words = self.inner.format(record)
        if getattr(record, "event", None) == LogEvent.JOB_ERROR:
            words = re.sub(
                r"(?s)\n    shell:\n.*\(command exited with non-zero exit code\)|\n    message: None",
                "",
                words,
            )
        return words


logger.addFilter(in_plain_words)
if workflow.is_main_process and not (
    workflow.output_settings.dryrun
    or workflow.output_settings.verbose
    or workflow.output_settings.printshellcmds
):
    for handler in logger.handlers:
        if handler.name == "DefaultStreamHandler":
            handler.addFilter(concerns_the_run)
            handler.setFormatter(WithoutCommands(handler.formatter))
