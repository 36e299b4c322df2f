"""One compose project, driven through the docker command line."""

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PAUSE_ATTEMPTS = 5
COMPOSE = shlex.split(os.environ.get("COMPOSE", "docker compose"))


class CommandFailedError(Exception):
    """A docker command ended with an error; the message holds what it said."""


def run(
    *command: str, environment: Mapping[str, str] | None = None, timeout_s: float = 120, stdin: bytes = b""
) -> bytes:
    """What the command printed. Raises CommandFailedError."""
    ended = subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        timeout=timeout_s,
        cwd=REPOSITORY,
        env={**os.environ, **(environment or {})},
        check=False,
    )
    if ended.returncode != 0:
        said = ended.stderr.decode(errors="replace").strip()[-2000:]
        raise CommandFailedError(f"{shlex.join(command)} ended with {ended.returncode}: {said}")
    return ended.stdout


def docker(*arguments: str, stdin: bytes = b"") -> str:
    """What `docker ...` printed."""
    return run("docker", *arguments, stdin=stdin).decode(errors="replace").strip()


@dataclass(slots=True, kw_only=True)
class Compose:
    """A project by its name, its files and the environment that fills them in."""

    project: str
    """Prefix of every container, network and volume."""
    files: Sequence[Path]
    """Compose files, later ones over earlier ones."""
    environment: dict[str, str]
    """What the files ask for."""
    _containers: dict[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str, timeout_s: float = 120) -> str:
        """What `docker compose ...` printed."""
        chosen = [part for file in self.files for part in ("--file", str(file))]
        command = (*COMPOSE, "--project-name", self.project, *chosen, *arguments)
        return run(*command, environment=self.environment, timeout_s=timeout_s).decode(errors="replace").strip()

    def up(self, *services: str) -> None:
        """Start services, all of them without a name, or start those again whose settings have changed."""
        self._containers.clear()
        self("up", "--detach", "--no-build", *services)

    def down(self) -> None:
        """Remove containers, networks and volumes."""
        self("down", "--volumes", "--timeout", "5")

    def container(self, service: str) -> str:
        """Identifier of a service's container."""
        if service not in self._containers:
            self._containers[service] = self("ps", "--all", "--quiet", service)
        return self._containers[service]

    def kill(self, service: str) -> None:
        """kill -9 of everything in the container; it stays down until `start`."""
        docker("kill", "--signal", "KILL", self.container(service))

    def crash(self, service: str) -> None:
        """kill -9 of everything in the container but its init, from inside: the engine's restart policy brings it back."""
        self.execute(service, "sh", "-c", "kill -9 -1", may_die=True)

    def start(self, *services: str) -> None:
        """Start containers that are down; nothing happens to those that run."""
        docker("start", *(self.container(service) for service in services))

    def pause(self, service: str) -> None:
        """Stop every process where it is. On a busy machine the kernel's freezer may need more than one attempt."""
        for attempt in range(PAUSE_ATTEMPTS):
            try:
                docker("pause", self.container(service))
                return
            except CommandFailedError as error:
                if "freeze" not in str(error) or attempt == PAUSE_ATTEMPTS - 1:
                    raise

    def unpause(self, service: str) -> None:
        """Let them go on."""
        docker("unpause", self.container(service))

    def execute(self, service: str, *command: str, may_die: bool = False, stdin: bytes = b"") -> str:
        """What a command in the container of a running service printed."""
        try:
            return docker("exec", "--interactive", self.container(service), *command, stdin=stdin)
        except CommandFailedError:
            if may_die:
                return ""
            raise

    def network(self, name: str) -> str:
        """The engine's name of a network."""
        return f"{self.project}_{name}"

    def disconnect(self, service: str, network: str) -> None:
        """Pull the plug."""
        docker("network", "disconnect", self.network(network), self.container(service))

    def connect(self, service: str, network: str, address: str) -> None:
        """Put it in again, with the address it had."""
        docker("network", "connect", "--ip", address, self.network(network), self.container(service))

    def state(self, service: str) -> str:
        """`running`, `paused`, `exited` or `restarting`."""
        return docker("inspect", "--format", "{{.State.Status}}", self.container(service))

    def restarts(self, service: str) -> int:
        """How often the engine has started the container again by itself."""
        return int(docker("inspect", "--format", "{{.RestartCount}}", self.container(service)))

    def logs(self, service: str) -> str:
        """What a service has written."""
        command = f"docker logs {self.container(service)} 2>&1"
        return run("sh", "-c", command).decode(errors="replace")
