"""The compose system for tests: built once, brought up once, and anew after a test that failed."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.compose import REPOSITORY, Compose, docker, run
from tests.containers.living_system import AIR, EARTH, HERE, LOGS, SERVICES, LivingSystem, free_port
from tests.containers.simulated_scenes import SimulatedScene, simulate_scenes
from tests.containers.small_scenes import cut_small_scenes

LAST_LINES = 25
IMAGE = "tianshu"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Let fixtures know whether their test has failed."""
    report = yield
    setattr(item, f"report_{report.when}", report)
    return report


@pytest.fixture(scope="session")
def image() -> str:
    """The image, as the working tree has it."""
    engine = docker("version", "--format", "{{.Server.Version}}")
    assert engine, "no container engine answers; run these tests with `make containers`"
    if not os.environ.get("TIANSHU_IMAGE_BUILT"):
        environment = {} if "BASE_IMAGE" in os.environ else {"BASE_IMAGE": _base_image()}
        Compose(project="tianshu", files=[REPOSITORY / "docker-compose.yml"], environment=environment)(
            "build", "onboard", timeout_s=1200
        )
    return IMAGE


def _base_image() -> str:
    return run(str(REPOSITORY / "containers" / "base_image.sh"), timeout_s=600).decode().strip()


@pytest.fixture(scope="session")
def small_scenes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Scene files by name, in a folder that containers may read."""
    folder = tmp_path_factory.mktemp("scenes")
    for above in (folder, *folder.parents):
        if above.stat().st_uid == os.getuid() and above.name.startswith(("pytest", "scenes")):
            above.chmod(0o755)
    return cut_small_scenes(folder)


@pytest.fixture(scope="session")
def simulated(small_scenes: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, SimulatedScene]:
    """What the simulation makes of them."""
    return simulate_scenes(small_scenes, tmp_path_factory.mktemp("simulated"))


@pytest.fixture(scope="session")
def _running(
    image: str, small_scenes: dict[str, Path], simulated: dict[str, SimulatedScene]
) -> Iterator[list[LivingSystem]]:
    """The system that runs now, if any."""
    running: list[LivingSystem] = []
    yield running
    for system in running:
        system.compose.down()


@pytest.fixture
def system(
    request: pytest.FixtureRequest,
    _running: list[LivingSystem],
    small_scenes: dict[str, Path],
    simulated: dict[str, SimulatedScene],
) -> Iterator[LivingSystem]:
    """The living system, well and without faults. After a failure its logs lie in runs/containers/<test>."""
    if _running and _running[0].broken:
        _running.pop().compose.down()
    if not _running:
        _running.append(_new_system(small_scenes, simulated))
        _running[0].broken = True
        _running[0].compose.down()  # of an interrupted run
        _running[0].up()
        _running[0].broken = False
    system = _running[0]
    system.reseed(f"{os.environ.get('TIANSHU_TEST_SEED', '0')} {request.node.name}")
    yield system
    report = getattr(request.node, "report_call", None)
    if report is None or report.failed:
        system.broken = True
        _show_logs(system, request.node.name)
    else:
        system.heal()


def _new_system(small_scenes: dict[str, Path], simulated: dict[str, SimulatedScene]) -> LivingSystem:
    environment = {
        "TIANSHU_IMAGE": IMAGE,
        "TIANSHU_AIR_NET": AIR,
        "TIANSHU_EARTH_NET": EARTH,
        "TIANSHU_PAGE_PORT": str(free_port()),
        "TESTS_FOLDER": str(HERE),
        "SCENES_FOLDER": str(next(iter(small_scenes.values())).parent),
    }
    files = [REPOSITORY / "docker-compose.yml", HERE / "compose.tests.yml"]
    return LivingSystem(
        compose=Compose(project="tianshu-tests", files=files, environment=environment), simulated=simulated
    )


def _show_logs(system: LivingSystem, test: str) -> None:
    folder = LOGS / re.sub(r"\W+", "_", test)
    folder.mkdir(parents=True, exist_ok=True)
    for service in SERVICES:
        text = system.compose.logs(service)
        (folder / f"{service}.log").write_text(text, encoding="utf-8")
        print(f"---- {service}, last lines; all of them in {folder}")
        print("\n".join(text.splitlines()[-LAST_LINES:]))
