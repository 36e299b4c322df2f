"""`tianshu health`: whether a service is well, for container engines and people. Imports little, so that it starts at once."""

import argparse
import http.client
import json
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

STATUS_LIFE_S = 10.0
"""Age at which a status file says nothing any more."""
PATIENCE_S = 3.0
LONGEST_ANSWER_BYTES = 1 << 20
EXIT_WELL = 0
EXIT_UNWELL = 1


def add_health_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command and its options."""
    parser = commands.add_parser(
        "health",
        help="ask a service whether it is well",
        description="Exit code 0 where the service is well, 1 with the reason on standard error where it is not.",
    )
    parser.add_argument(
        "service",
        metavar="URL_OR_STATE_DIR",
        help="address of its endpoints, such as http://127.0.0.1:9101 or 127.0.0.1:9101, or its state folder",
    )
    parser.set_defaults(command=ask_health)


def ask_health(options: argparse.Namespace) -> int:
    """Says nothing and returns 0, or says why not and returns 1."""
    asked: str = options.service
    reason = _of_folder(Path(asked)) if Path(asked).is_dir() else _of_endpoint(asked)
    if reason is None:
        return EXIT_WELL
    sys.stderr.write(f"unhealthy: {reason}\n")
    return EXIT_UNWELL


def _of_endpoint(address: str) -> str | None:
    """Why the service at an address is unwell, None where it is well."""
    where = address.removeprefix("http://").removesuffix("/").removesuffix("/healthz")
    try:
        parts = urlsplit(f"//{where}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.netloc != where:
        return f"{address!r} is neither a folder nor an address such as http://127.0.0.1:9101"
    connection = http.client.HTTPConnection(host, port, timeout=PATIENCE_S)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        content = answer.read(LONGEST_ANSWER_BYTES)
    except (OSError, http.client.HTTPException) as error:
        return f"http://{where}/healthz does not answer: {error or type(error).__name__}"
    finally:
        connection.close()
    return (
        None
        if answer.status == http.client.OK
        else _told(content) or f"http://{where}/healthz answered {answer.status}"
    )


def _of_folder(folder: Path) -> str | None:
    """Why the service of a state folder is unwell, None where it is well."""
    file = folder / "status.json"
    try:
        age_s = abs(time.time() - file.stat().st_mtime)
        content = file.read_bytes()
    except OSError as error:
        return f"{file} cannot be read: {error.strerror}"
    if age_s > STATUS_LIFE_S:
        return f"{file} is {age_s:.0f} s old: the service hangs or is gone"
    return _told(content)


def _told(content: bytes) -> str | None:
    """The reason that a status or a health answer gives, None where it says healthy."""
    try:
        document = json.loads(content)
    except ValueError:
        return "the answer is not JSON"
    if not isinstance(document, dict) or document.get("healthy") is not True:
        reason = document.get("reason") if isinstance(document, dict) else None
        return str(reason or "it does not say that it is healthy")
    return None
