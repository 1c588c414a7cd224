"""Snakemake's main process looks for jobs once a second, however many jobs have ended."""

import runpy
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake.scheduling.job_scheduler import JobScheduler

RULES = Path(__file__).parents[2] / "workflow/rules/scheduler.smk"


@pytest.fixture
def scheduler(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(JobScheduler, "_schedule_reevalutation", JobScheduler._schedule_reevalutation)  # put back later
    runpy.run_path(str(RULES))
    return SimpleNamespace(_open_jobs=threading.Semaphore(0))


def test_many_wishes_for_another_look_lead_to_one(scheduler: Any) -> None:
    for _ in range(20):
        JobScheduler._schedule_reevalutation(scheduler, 0.1)
    assert scheduler._open_jobs.acquire(timeout=60)
    time.sleep(0.5)
    assert not scheduler._open_jobs.acquire(blocking=False)


def test_each_look_can_lead_to_the_next(scheduler: Any) -> None:
    for _ in range(3):
        JobScheduler._schedule_reevalutation(scheduler, 0.01)
        assert scheduler._open_jobs.acquire(timeout=60)


def test_a_look_that_is_wanted_sooner_does_not_wait(scheduler: Any) -> None:
    JobScheduler._schedule_reevalutation(scheduler, 3600)
    JobScheduler._schedule_reevalutation(scheduler, 0.01)
    assert scheduler._open_jobs.acquire(timeout=60)


def test_a_look_that_is_due_does_not_keep_the_process(scheduler: Any) -> None:
    before = set(threading.enumerate())
    JobScheduler._schedule_reevalutation(scheduler, 3600)
    (alarm,) = set(threading.enumerate()) - before
    assert alarm.daemon
