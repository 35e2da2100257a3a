"""Run a replay's jobs: one after another sharing work, or each in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from learning.replay import Job, Plan, ReplayResult, conclude, open_policy, run_yardstick
from learning.replay_policies import is_yardstick
from learning.replay_result import Answers, answers_of
from learning.replay_state import read_state, read_yardstick, write_state, write_yardstick
from learning.replay_workshop import Workshop
from storage import replays

KEEP_EVERY_SECONDS = 2.0
POLL_SECONDS = 0.2
OnProgress = Callable[[Job, int], None]


def run_plan(plan: Plan, folder: Path, workers: int, on_progress: OnProgress) -> ReplayResult:
    """Run all jobs of a plan and judge them; what ``folder`` holds of them is gone on with.

    ``on_progress`` is told the rows that a job has come to. With several workers each job has a
    process of its own and nothing is shared.
    """
    if workers > 1:
        found = _run_apart(plan, folder, workers, on_progress)
    else:
        found = {}
        for segment, stream in enumerate(plan.parts):
            shop = Workshop(stream, plan.problem, time.process_time)
            for job in (job for job in plan.jobs if job.segment == segment):
                found[job] = run_job(plan, job, shop, folder, on_progress)
    return conclude(
        plan,
        [[found[Job(name, part)] for name in plan.policies] for part in range(plan.n_segments)],
    )


def run_job(plan: Plan, job: Job, shop: Workshop, folder: Path, on_progress: OnProgress) -> Answers:
    """One policy over one segment, kept every two seconds and at the end."""
    if is_yardstick(job.policy):
        return _run_yardstick(plan, job, shop, folder, on_progress)
    kept = replays.read_state(folder, job.name)
    replay = open_policy(shop, job.policy, None if kept is None else read_state(*kept))
    saved = time.monotonic()
    for position in replay.run():
        on_progress(job, position)
        if time.monotonic() - saved >= KEEP_EVERY_SECONDS:
            replays.write_state(folder, job.name, *write_state(replay.state))
            saved = time.monotonic()
    replays.write_state(folder, job.name, *write_state(replay.state))
    on_progress(job, len(shop.stream))
    return answers_of(job.policy, replay.state)


def _run_yardstick(
    plan: Plan, job: Job, shop: Workshop, folder: Path, on_progress: OnProgress
) -> Answers:
    kept = replays.read_state(folder, job.name)
    if kept is not None:
        return read_yardstick(job.policy, *kept)
    seed, cpu = plan.problem.search.seed, time.process_time
    for found in run_yardstick(shop.stream, job.policy, plan.learner_rows, seed, cpu):
        if isinstance(found, Answers):
            replays.write_state(folder, job.name, *write_yardstick(found))
            on_progress(job, len(shop.stream))
            return found
        on_progress(job, found)
    raise AssertionError("a yardstick ends with its answers")


def _run_apart(
    plan: Plan, folder: Path, workers: int, on_progress: OnProgress
) -> dict[Job, Answers]:
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    with ProcessPoolExecutor(workers, context, _begin_worker, (plan, folder, told)) as pool:
        with _ctrl_c_held_back():
            futures: dict[Future[Answers], Job] = {
                pool.submit(_work, job): job for job in plan.jobs
            }
        try:
            left = set(futures)
            while left:
                left = wait_for(left, timeout=POLL_SECONDS).not_done
                for job, position in _drained(told):
                    on_progress(job, position)
            return {job: future.result() for future, job in futures.items()}
        except BaseException:
            for process in multiprocessing.active_children():
                process.kill()
                process.join()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


@contextmanager
def _ctrl_c_held_back() -> Iterator[None]:
    """Ctrl-C waits meanwhile; in processes that begin meanwhile, until they are ready for it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_WORKER: dict[str, Any] = {}


def _begin_worker(plan: Plan, folder: Path, told: Any) -> None:
    # What is kept on disk is enough to go on from; a traceback of each process says nothing.
    signal.signal(signal.SIGINT, lambda *_: os._exit(1))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    _WORKER.update(plan=plan, folder=folder, told=told)


def _work(job: Job) -> Answers:
    plan: Plan = _WORKER["plan"]
    shop = Workshop(plan.parts[job.segment], plan.problem, time.process_time)
    return run_job(plan, job, shop, _WORKER["folder"], lambda of, at: _WORKER["told"].put((of, at)))


def _drained(told: Any) -> Iterator[tuple[Job, int]]:
    while True:
        try:
            yield told.get_nowait()
        except queue.Empty:
            return


def state_folder(home: Path, plan: Plan, resume: bool) -> Path:
    """The folder of a plan's states, emptied unless they are to be gone on with."""
    if not resume:
        replays.forget_states(home, plan.problem.name)
    return replays.states_folder(home, plan.problem.name, plan.digest)
