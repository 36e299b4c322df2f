"""The five services as a test sees them: what each says of itself, what it is put through, and whether all came out well."""

import contextlib
import io
import json
import random
import socket
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.containers.compose import REPOSITORY, CommandFailedError, Compose, run
from tests.containers.simulated_scenes import PublishedPixels, SimulatedScene

SERVICES = ("onboard", "channel", "ground", "eps", "sensor")
HERE = Path(__file__).resolve().parent
LOGS = REPOSITORY / "runs" / "containers"
AIR, EARTH = "10.78.1", "10.78.2"
CHANNEL_ON_AIR, CHANNEL_ON_EARTH = f"{AIR}.11", f"{EARTH}.11"
PERIOD_S, PASS_S = 10.0, 8.0
"""As in quick.toml."""
STANDSTILL_LIMIT_S = 45.0
"""Several passes. A busy machine is slow; a system in which nothing comes forward for so long is stuck."""
Status = dict[str, Any]


def wait_until(condition: Callable[[], object], what: Callable[[], str] | str, *, limit_s: float = 30.0) -> None:
    """Ask until it is so. Raises AssertionError that says what was waited for."""
    end_s = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end_s:
            raise AssertionError(f"after {limit_s:.0f} s still not: {what if isinstance(what, str) else what()}")
        time.sleep(0.2)


def free_port() -> int:
    """A TCP port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(slots=True, kw_only=True)
class LivingSystem:
    """A compose project of its own with small scenes and short passes."""

    compose: Compose
    """The project."""
    simulated: Mapping[str, SimulatedScene]
    """What every published scene must equal, by the name of its file."""
    chance: random.Random = field(default_factory=random.Random)
    """Of everything that a test leaves to chance."""
    broken: bool = False
    """Whether a test has failed on it: the next one gets a fresh system."""
    _delivered_layers: int = 0
    _held_layers: int = 0

    # ---- from outside

    def reseed(self, seed: str) -> None:
        """The same chance from here on for the same seed."""
        self.chance = random.Random(seed)

    def up(self) -> None:
        """Start everything and wait until all five are well."""
        self.compose.up()
        self.compose.pause("sensor")
        self.wait_well()

    def heal(self) -> None:
        """End every fault that a test may have left; the camera rests."""
        for service in SERVICES:
            if self.compose.state(service) == "paused" and service != "sensor":
                self.compose.unpause(service)
        self.compose.start(*(service for service in SERVICES if self.compose.state(service) != "paused"))
        if self.compose.state("sensor") == "running":
            self.compose.pause("sensor")
        self.hands("rm -f /at/*/ballast /at/*/skew_ms /at/eps/control.toml")
        for network, address in (("air", CHANNEL_ON_AIR), ("earth", CHANNEL_ON_EARTH)):
            with contextlib.suppress(CommandFailedError):  # connected already
                self.compose.connect("channel", network, address)

    def hands(self, script: str, *, stdin: bytes = b"") -> str:
        """Run a shell script beside every service's folders, /at/<service>, as their owner."""
        return self.compose.execute("hands", "sh", "-c", script, stdin=stdin)

    def lose_references(self) -> None:
        """The camera takes the same few pictures again and again: predicted from what the ground knows they would take next to nothing."""
        self.hands("rm -rf /at/onboard/references/*")

    def wait_well(self, *services: str, limit_s: float = 30.0) -> None:
        """Until these services, all but the sensor without a name, say that they are well."""
        names = services or tuple(name for name in SERVICES if name != "sensor")
        wait_until(
            lambda: all(self.well(name) for name in names),
            lambda: f"all well: { {name: self.status(name).get('reason', 'no status') for name in names} }",
            limit_s=limit_s,
        )

    def well(self, service: str) -> bool:
        """Whether a service has said so within the last few seconds."""
        status = self.status(service)
        return bool(status.get("healthy")) and time.time() - status.get("at_ms", 0) / 1000 < 5

    def status(self, service: str) -> Status:
        """The last status that a service wrote, empty where there is none."""
        return self.statuses(service)[0]

    def statuses(self, *services: str) -> list[Status]:
        """Of several services, in this order."""
        script = f'for name in {" ".join(services)}; do echo "$name $(cat /at/$name/status.json 2>/dev/null)"; done'
        texts = [line.partition(" ")[2] for line in self.hands(script).splitlines()]
        documents = [json.loads(text) if text else {} for text in texts]
        for name, status in zip(services, documents, strict=True):
            self._remember(name, status)
        return documents

    def _remember(self, service: str, status: Status) -> None:
        """What was reported once must never be taken back."""
        if service == "onboard" and "ledger" in status:
            self._delivered_layers = max(self._delivered_layers, status["ledger"]["delivered_layers"])
        if service == "ground" and "ledger" in status:
            self._held_layers = max(self._held_layers, status["ledger"]["held_layers"])

    # ---- what happens in it

    def capture(self, count: int) -> None:
        """Let the camera take so many scenes."""
        before = self.captures()
        self.compose.unpause("sensor")
        wait_until(lambda: self.captures() >= before + count, f"the camera took {count} scenes", limit_s=20 + 2 * count)
        self.compose.pause("sensor")

    def captures(self) -> int:
        """Scenes that the camera has taken so far."""
        return int(self.status("sensor").get("captured", 0))

    @contextlib.contextmanager
    def capturing(self) -> Iterator[None]:
        """The camera takes scenes as long as this lasts."""
        self.compose.unpause("sensor")
        try:
            yield
        finally:
            if self.compose.state("sensor") == "running":
                self.compose.pause("sensor")

    def wait_for_pass(self, *, after_aos_s: float) -> None:
        """Until that long after the beginning of a pass, by the clock on the wall that all services go by."""
        time.sleep((after_aos_s - time.time()) % PERIOD_S)

    def wait_at_random(self, least_s: float, most_s: float) -> None:
        """A while that the seed decides."""
        time.sleep(self.chance.uniform(least_s, most_s))

    # ---- whether it came out well

    def settle(self) -> None:
        """Wait until all that was captured is on the ground and published; then both ends must agree on everything."""
        self.wait_well()
        come, since_s = self._come_forward(), time.monotonic()
        while not self._all_delivered():
            if (now := self._come_forward()) != come:
                come, since_s = now, time.monotonic()
            assert time.monotonic() - since_s < STANDSTILL_LIMIT_S, f"nothing comes forward: {self._told()}"
            time.sleep(0.2)
        onboard, ground = self.statuses("onboard", "ground")
        ledger, held = onboard["ledger"], ground["ledger"]
        assert ledger["balanced"] and ledger["evicted_layers"] == 0, ledger
        assert onboard["delivered_digest"] == ground["held_digest"]
        # How many layers there are depends on what each image is predicted from; the pixels do not.
        assert ledger["captured_layers"] == ledger["delivered_layers"] == held["held_layers"], self._told()
        coding = onboard["coding"]
        assert coding["waiting_tiles"] == coding["discarded_tiles"] == coding["damaged_tiles"] == 0, coding
        assert coding["given_up_tiles"] == 0 and onboard["references"]["problem"] == "", self._told()
        assert ledger["delivered_layers"] >= self._delivered_layers, "layers once delivered are so no more"
        assert held["held_layers"] >= self._held_layers, "layers once on the ground are there no more"
        assert onboard["scenes"]["rejected"] == 0, onboard["scenes"]
        self._check_published()

    def captured_names(self) -> list[str]:
        """Every capture so far: the camera takes its scenes in turn."""
        sources = sorted(self.simulated)
        return [f"{sources[number % len(sources)]}_{number + 1:06d}" for number in range(self.captures())]

    def _all_delivered(self) -> bool:
        onboard, ground, sensor = self.statuses("onboard", "ground", "sensor")
        if not onboard or not ground:
            return False
        scenes = onboard["scenes"]
        return (
            onboard["ledger"]["queued_layers"] == scenes["waiting"] == scenes["in_work"] == 0
            and onboard["coding"]["waiting_tiles"] == 0
            and scenes["done"] == ground["scenes_total"] == sensor["captured"]
            and onboard["delivered_digest"] == ground["held_digest"]
        )

    def _come_forward(self) -> tuple[int, ...]:
        """What grows as long as the system does its work."""
        onboard, ground = self.statuses("onboard", "ground")
        if not onboard or not ground:
            return ()
        ledger = onboard["ledger"]
        return (
            onboard["scenes"]["done"],
            onboard["coding"]["waiting_tiles"],
            ledger["captured_layers"],
            ledger["delivered_layers"],
            ground["ledger"]["held_layers"],
        )

    def _check_published(self) -> None:
        """The catalogue holds every capture and nothing else, pixel for pixel as the simulation makes it."""
        names, wrong = self.captured_names(), dict[str, int]()

        def equal() -> bool:
            published = self.published()
            wrong.clear()
            for name in published.keys() ^ set(names):
                wrong[name] = -1
            for name in published.keys() & set(names):
                if differences := published[name].differences(self.simulated[_source(name)].published):
                    wrong[name] = differences
            return not wrong

        wait_until(equal, lambda: f"published as simulated; samples that differ: {wrong}", limit_s=60.0)

    def published(self) -> dict[str, PublishedPixels]:
        """Scenes of the catalogue, by folder."""
        command = "cd /at/ground && tar -c ground/*/scene.tif 2>/dev/null || true"
        archive = run("docker", "exec", self.compose.container("hands"), "sh", "-c", command)
        pixels = {}
        with tarfile.open(fileobj=io.BytesIO(archive), ignore_zeros=True) as tar:
            for member in tar:
                if (file := tar.extractfile(member)) is not None:
                    pixels[Path(member.name).parent.name] = PublishedPixels.of(file.read())
        return pixels

    def _told(self) -> str:
        onboard, ground = self.statuses("onboard", "ground")
        parts = {
            "onboard": {key: onboard.get(key) for key in ("ledger", "scenes", "coding", "delivered_digest", "reason")},
            "ground": {key: ground.get(key) for key in ("ledger", "scenes_total", "held_digest", "problems", "reason")},
        }
        return json.dumps(parts)


def _source(name: str) -> str:
    """The file that the camera copied: `east` for `east_000012`."""
    return name.rsplit("_", 1)[0]
