"""Everything running together: Prefect, MLflow, the API and the worker, under one home folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType

from rich.console import Console
from rich.table import Table

from operate import stack_services as services
from operate.processes import Processes, Running, Service, StackError, stopped_by_signals
from operate.terminal import out
from settings import Settings

PAUSES_SECONDS = (1.0, 4.0, 16.0)  # before the first, second and third restart
HEALTHY_SECONDS = 600.0
WATCH_SECONDS = 0.5

Factory = Callable[[Settings], Service]


class Stack:
    """A context manager: entering it starts all and returns when all is ready.

    A part that the settings place elsewhere (`prefect_api_url`, `mlflow_uri`) is used and not
    started. `factories` makes the services anew at each start, for a restart needs fresh ones; the
    demo and tests replace some; the demo leaves out the status page. Use it from the main thread.
    """

    def __init__(
        self,
        settings: Settings,
        say: Callable[[str], None] = lambda _text: None,
        *,
        with_page: bool = True,
    ) -> None:
        self.settings = settings
        self.factories: dict[str, Factory] = {}
        if settings.prefect_api_url is None:
            self.factories["prefect"] = services.prefect_service
        if settings.mlflow_uri is None:
            self.factories["mlflow"] = services.mlflow_service
        self.factories["api"] = services.api_service
        if with_page:
            self.factories["ui"] = services.ui_service
        self.factories["deploy"] = services.deploy_errand
        self.factories["worker"] = services.worker_service
        self.processes = Processes(settings.home / "logs")
        self._say = say
        self._exit = ExitStack()
        self._restarts: dict[str, list[float]] = {}

    def __enter__(self) -> Stack:
        for folder in ("prefect", "mlflow-artifacts"):
            (self.settings.home / folder).mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            stack.enter_context(self.processes)
            started = time.monotonic()
            # All at once: each waits by itself for what it needs of the others.
            for factory in self.factories.values():
                self.processes.start(factory(self.settings))
            self.processes.wait_ready(
                on_ready=lambda name: self._say(
                    f"{name} ready after {time.monotonic() - started:.1f} s"
                )
            )
            self._exit = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._exit.__exit__(kind, error, trace)

    @property
    def addresses(self) -> dict[str, str]:
        """What a person opens, by name."""
        api = services.api_url(self.settings)
        return {
            **({"Status page": services.ui_url(self.settings)} if "ui" in self.factories else {}),
            "API": api,
            "API documentation": f"{api}/docs",
            "Prefect (flows)": services.prefect_api_url(self.settings).removesuffix("/api"),
            "MLflow (models)": services.mlflow_url(self.settings),
            "Logs": str(self.processes.logs),
        }

    def watch(self) -> None:
        """Restart what ends, until interrupted.

        StackError when one service ended for the fourth time within ten minutes of its start.
        """
        while True:
            for running in self.processes.ended():
                self._restart(running)
            for running in self.processes.running.values():
                running.rotate_log()
            time.sleep(WATCH_SECONDS)

    def _restart(self, running: Running) -> None:
        name, now = running.service.name, time.monotonic()
        recent = [at for at in self._restarts.get(name, []) if now - at < HEALTHY_SECONDS]
        obituary = running.obituary()
        self.processes.stop(name)
        if len(recent) >= len(PAUSES_SECONDS):
            raise StackError(f"{obituary}\n{name} was restarted {len(recent)} times in vain.")
        pause = PAUSES_SECONDS[len(recent)]
        self._say(f"{obituary}\n{name} starts again in {pause:.0f} s")
        time.sleep(pause)
        self._restarts[name] = [*recent, time.monotonic()]
        self.processes.start(self.factories[name](self.settings))


def _table(stack: Stack) -> Table:
    table = Table("what", "where", title="Perennial is up; Ctrl-C stops it")
    for name, address in stack.addresses.items():
        table.add_row(name, address)
    return table


def run_up(settings: Settings) -> int:
    """Run the stack until Ctrl-C or SIGTERM (0), or until a part of it cannot be kept up (1)."""
    console = out()

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    say(f"Starting under {settings.home}")
    try:
        with stopped_by_signals(), Stack(settings, say) as stack:
            console.print(_table(stack))
            stack.watch()
    except KeyboardInterrupt:
        say("Stopped.")
    except StackError as error:
        Console(stderr=True).print(str(error), markup=False, highlight=False, soft_wrap=True)
        return 1
    return 0
