"""The flight image and how compose runs it."""

import json

import pytest

from tests.containers.compose import docker
from tests.containers.living_system import SERVICES, LivingSystem

pytestmark = pytest.mark.containers

IMAGE_LIMIT_BYTES = 600_000_000


def in_image(image: str, *command: str) -> str:
    return docker("run", "--rm", "--network", "none", "--read-only", "--entrypoint", command[0], image, *command[1:])


def test_no_torch_flies(image: str) -> None:
    listing = "import importlib.metadata as m; print(*sorted(d.metadata['Name'].lower() for d in m.distributions()))"
    installed = in_image(image, "python3", "-c", listing).split()
    assert {"tianshu", "openvino", "rasterio", "numpy"} <= set(installed)
    heavy = {"torch", "torchvision", "ultralytics", "onnxruntime", "opencv-python", "pip", "pytest"}
    assert not heavy & set(installed)
    files = in_image(image, "find", "/opt", "-name", "*torch*", "-path", "*site-packages/torch*")
    assert not files, files


def test_it_is_small_and_its_user_is_nobody_special(image: str) -> None:
    described = json.loads(docker("image", "inspect", image))[0]
    assert described["Size"] < IMAGE_LIMIT_BYTES
    assert described["Config"]["User"] == "1000:1000"
    assert in_image(image, "id", "-u") == "1000"


def test_compose_holds_every_service_down(system: LivingSystem) -> None:
    for service in SERVICES:
        container = json.loads(docker("inspect", system.compose.container(service)))[0]
        limits = container["HostConfig"]
        assert limits["ReadonlyRootfs"] and limits["CapDrop"] == ["ALL"], service
        assert "no-new-privileges:true" in limits["SecurityOpt"], service
        assert limits["RestartPolicy"]["Name"] == "unless-stopped", service
        assert not limits["Privileged"] and not limits["CapAdd"], service
    onboard = json.loads(docker("inspect", system.compose.container("onboard")))[0]
    assert onboard["HostConfig"]["NanoCpus"] == 1_000_000_000
    assert onboard["HostConfig"]["Memory"] == 1 << 30
    assert list(onboard["NetworkSettings"]["Networks"]) == [system.compose.network("air")]
    assert not onboard["HostConfig"]["PortBindings"]
    power = next(mount for mount in onboard["Mounts"] if mount["Destination"] == "/power")
    assert not power["RW"]
    air = json.loads(docker("network", "inspect", system.compose.network("air")))[0]
    assert air["Internal"]


def test_the_flight_computer_reaches_nobody_but_the_channel(system: LivingSystem) -> None:
    probe = (
        "import socket, sys\n"
        "try: socket.create_connection(('10.78.2.12', 8080), timeout=2)\n"
        "except OSError as error: print('refused'); sys.exit()\n"
        "print('connected')"
    )
    assert system.compose.execute("onboard", "python3", "-c", probe) == "refused"
