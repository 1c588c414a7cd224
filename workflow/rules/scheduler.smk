# Keeps Snakemake's main process from taking more and more of a core. For its limit on the jobs of a second it sets,
# after each look for jobs to start, an alarm for the next look, and each alarm leads to another one. As every job that
# ends leads to a look, too, there are soon as many looks in a second as jobs have ended. One alarm at a time is enough.
import math
import threading
import time

from snakemake.scheduling.job_scheduler import JobScheduler


def look_again(scheduler, delay):
    due = time.monotonic() + delay
    if getattr(scheduler, "next_look", math.inf) > due:
        scheduler.next_look = due
        alarm = threading.Timer(delay, look_now, [scheduler])
        alarm.daemon = True  # Snakemake ends without waiting for it
        alarm.start()


def look_now(scheduler):
    scheduler.next_look = math.inf
    scheduler._open_jobs.release()


JobScheduler._schedule_reevalutation = look_again
