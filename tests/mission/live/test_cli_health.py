"""`tianshu health`: every outcome, and how little it imports."""

import argparse
import json
import os
import subprocess
import sys
import time

import pytest

from mission.live.cli_health import add_health_command
from mission.live.endpoints import Endpoints, Response

HEAVY = (
    "numpy",
    "pydantic",
    "rasterio",
    "openvino",
    "asyncio",
    "prometheus_client",
    "rich",
    "sgp4",
    "mission.scenario",
)


def health(asked, capsys):
    """Exit code and what was said."""
    parser = argparse.ArgumentParser()
    add_health_command(parser.add_subparsers())
    options = parser.parse_args(["health", str(asked)])
    code = options.command(options)
    out, said = capsys.readouterr()
    assert out == ""
    return code, said


@pytest.fixture
def answered():
    """Endpoints whose /healthz answers what is put in."""
    answer = {"response": Response(body=b"{}")}
    served = Endpoints("127.0.0.1:0", on_error=pytest.fail)
    served.serve("/healthz", lambda path: answer["response"])
    served.start()
    yield served.address, answer
    served.close()


def unwell(reason):
    return Response(status=503, body=json.dumps({"healthy": False, "reason": reason}).encode())


@pytest.mark.parametrize("form", ["http://{}", "{}", "http://{}/", "http://{}/healthz"])
def test_a_service_that_says_200_is_well(form, answered, capsys):
    address, _ = answered
    assert health(form.format(address), capsys) == (0, "")


@pytest.mark.parametrize(
    ("response", "said"),
    [
        (unwell("journal: no space left"), "unhealthy: journal: no space left\n"),
        (Response(status=503, body=b"busy"), "unhealthy: the answer is not JSON\n"),
        (Response(status=503, body=b'{"healthy": true}'), "answered 503"),
        (Response(status=404, body=b"[]"), "it does not say that it is healthy"),
    ],
)
def test_a_service_that_says_anything_else_is_not(response, said, answered, capsys):
    address, answer = answered
    answer["response"] = response
    code, printed = health(address, capsys)
    assert code == 1 and said in printed


def test_proxies_are_not_asked(answered, capsys, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert health(answered[0], capsys) == (0, "")


def test_nobody_at_the_address(capsys):
    served = Endpoints("127.0.0.1:0", on_error=pytest.fail)
    address = served.address
    served.close()
    code, said = health(address, capsys)
    assert code == 1 and f"http://{address}/healthz does not answer: " in said and "refused" in said


@pytest.mark.parametrize("asked", ["/no/such/folder", "http://127.0.0.1:port", "ftp://127.0.0.1", ""])
def test_what_cannot_be_asked(asked, capsys):
    code, said = health(asked, capsys)
    assert code == 1 and said.startswith("unhealthy: ")


def status(folder, content, age_s=0.0):
    file = folder / "status.json"
    file.write_text(content, encoding="utf-8")
    at_s = time.time() - age_s
    os.utime(file, (at_s, at_s))
    return folder


def test_a_fresh_status_that_says_healthy(tmp_path, capsys):
    assert health(status(tmp_path, '{"healthy": true, "reason": ""}', age_s=5), capsys) == (0, "")


@pytest.mark.parametrize(
    ("content", "age_s", "said"),
    [
        ('{"healthy": true}', 60, "is 60 s old: the service hangs or is gone"),
        ('{"healthy": true}', -60, "is 60 s old"),
        ('{"healthy": false, "reason": "disk full"}', 0, "unhealthy: disk full"),
        ('{"healthy": false}', 0, "does not say that it is healthy"),
        ('{"healthy": 1}', 0, "does not say that it is healthy"),
        ("[]", 0, "does not say that it is healthy"),
        ("{", 0, "not JSON"),
    ],
)
def test_a_status_that_says_otherwise(content, age_s, said, tmp_path, capsys):
    code, printed = health(status(tmp_path, content, age_s), capsys)
    assert code == 1 and said in printed


def test_a_folder_without_a_status(tmp_path, capsys):
    code, said = health(tmp_path, capsys)
    assert code == 1 and f"{tmp_path}/status.json cannot be read: No such file" in said


@pytest.mark.parametrize("module", ["mission.live.cli_health", "mission.cli"])
def test_it_imports_nothing_heavy(module, tmp_path):
    """The whole command, as a container engine runs it every few seconds."""
    folder = status(tmp_path, '{"healthy": true}')
    script = (
        "import argparse, json, sys\n"
        f"import {module} as module\n"
        "if hasattr(module, 'main'):\n"
        f"    code = module.main(['health', {str(folder)!r}])\n"
        "else:\n"
        f"    code = module.ask_health(argparse.Namespace(service={str(folder)!r}))\n"
        "print(json.dumps([code, sorted(sys.modules)]))\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    code, modules = json.loads(ran.stdout)
    assert code == 0
    assert not [name for name in HEAVY if name in modules]
