"""The rules of the house, enforced: who may import whom, what a core may not touch, how large a file may grow."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
ROOMS = ("downlink", "onboard", "ground", "mission")
MAY_IMPORT = {
    "downlink": {"downlink"},
    "onboard": {"onboard", "downlink"},
    "ground": {"ground", "downlink"},
    "mission": set(ROOMS),
}
EDGES = {
    # Libraries that touch the world, and the files that own them. Everything else is a core.
    "rasterio": {
        "downlink/jpeg2000.py",
        "onboard/ingest.py",
        "onboard/raster_source.py",
        "onboard/training/labelled_scene.py",
        "ground/browse.py",
        "ground/catalogue.py",
        "ground/cog.py",
        "ground/geolocation.py",
        "ground/jp2_export.py",
        "ground/raster_errors.py",
        "ground/working_raster.py",
        "mission/baselines.py",
        "mission/measures.py",
        "mission/report_pictures.py",
        "mission/truth.py",
    },
    "openvino": {"onboard/detector_openvino.py", "onboard/training/export.py"},
    "onnxruntime": {"onboard/detector_onnxruntime.py", "onboard/training/quantise.py"},
    "ultralytics": {"onboard/detector_ultralytics.py", "onboard/torchvision_stand_in.py"},
    "torch": {"onboard/detector_ultralytics.py", "onboard/torchvision_stand_in.py"},
    "time": {
        "onboard/meter.py",
        "mission/run.py",
        "mission/campaign.py",
        "mission/channel_relay.py",
        "mission/udp_file_delivery.py",
        "onboard/training/export.py",
    },
    "os": {
        "mission/cli_channel.py",
        "downlink/journal_file.py",
        "onboard/raw_files.py",
        "ground/atomic_file.py",
        "onboard/torchvision_stand_in.py",
        "onboard/detector_openvino.py",
        "onboard/detector_onnxruntime.py",
        "onboard/reference_files.py",
    },
    "cryptography": {"downlink/aes_gmac.py"},
    "raptorq": {"downlink/erasure_code.py"},
    "random": set(),
    "socket": {"mission/channel_relay.py", "mission/datagram_relay.py", "mission/udp_port.py"},
    "secrets": set(),
    "asyncio": set(),
    "threading": {"onboard/raw_store.py", "onboard/raster_source.py"},
    "concurrent": {"onboard/tile_ahead.py", "onboard/training/train.py"},
    "subprocess": set(),
    "multiprocessing": {
        "mission/campaign.py",
        "mission/cli_simulate.py",
        "mission/live/scene_worker.py",
        "mission/live/publisher.py",
    },
    "signal": {
        "mission/campaign.py",
        "mission/cli_channel.py",
        "mission/live/service.py",
        "mission/live/scene_worker.py",
        "mission/live/publisher.py",
    },
    "termios": {"mission/live/serial_frame_port.py"},
    "prometheus_client": {"mission/live/service_metrics.py"},
    "http": {"mission/live/endpoints.py", "mission/live/cli_health.py"},
    "urllib": {"mission/live/cli_health.py", "mission/live/frame_port.py", "mission/live/endpoints.py"},
}
LIVE_ONLY = {"os", "time", "socket", "asyncio", "threading"}
"""What the live services, edges all of them, may import anywhere in `mission/live`."""
TRAINING_ONLY = {"torch", "ultralytics", "time", "os"}
"""What the training package, which never flies, may import anywhere."""
FORBIDDEN_CALLS = {
    "print": "return or write to a stream that was handed in",
    "datetime.now": "take now_ms as an argument",
    "datetime.utcnow": "take now_ms as an argument",
    "date.today": "take now_ms as an argument",
    "np.random.seed": "use mission.streams",
    "np.random.rand": "use mission.streams",
    "np.random.default_rng": "use mission.streams, or take a generator as an argument",
    "breakpoint": "remove it",
}
FORBIDDEN_NAMES = {"utils", "util", "common", "helpers", "helper", "manager", "core", "misc", "base"}
LINES_LIMIT = 500
FUNCTION_LINES_LIMIT = 70
POSITIONAL_LIMIT = 7


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (REPOSITORY / folder).rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def imported_modules(path: Path) -> Iterator[str]:
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in nodes(path):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("room", ROOMS)
def test_import_ladder(room: str) -> None:
    wrong = [
        f"{name_of(path)} imports {module}"
        for path in sources(room)
        for module in imported_modules(path)
        if module.split(".")[0] in ROOMS and module.split(".")[0] not in MAY_IMPORT[room]
    ]
    assert not wrong, f"{room} may import only {sorted(MAY_IMPORT[room])}: {wrong}"


def test_nothing_that_flies_imports_the_training() -> None:
    wrong = [
        f"{name_of(path)} imports {module}"
        for path in sources("downlink", "onboard", "ground")
        if "training" not in path.parts
        for module in imported_modules(path)
        if module.startswith("onboard.training")
    ]
    assert not wrong


@pytest.mark.parametrize("library", EDGES)
def test_libraries_that_touch_the_world_stay_in_their_edges(library: str) -> None:
    wrong = [
        name_of(path)
        for path in sources(*ROOMS)
        if library in {module.split(".")[0] for module in imported_modules(path)}
        and name_of(path) not in EDGES[library]
        and not ("training" in path.parts and library in TRAINING_ONLY)
        and not (path.parent == REPOSITORY / "mission/live" and library in LIVE_ONLY)
    ]
    assert not wrong, f"{library} belongs in {sorted(EDGES[library])} alone, found in {wrong}"


@pytest.mark.parametrize("library", EDGES)
def test_no_edge_is_listed_that_is_none(library: str) -> None:
    idle = [
        edge
        for edge in EDGES[library]
        if (REPOSITORY / edge).exists()
        and library not in {module.split(".")[0] for module in imported_modules(REPOSITORY / edge)}
        and library not in (REPOSITORY / edge).read_text(encoding="utf-8")
    ]
    gone = [edge for edge in EDGES[library] if not (REPOSITORY / edge).exists()]
    assert not idle and not gone, f"take these off the list of {library}: {idle + gone}"


@pytest.mark.parametrize("call", FORBIDDEN_CALLS)
def test_forbidden_calls(call: str) -> None:
    found = []
    for path in sources(*ROOMS):
        if "training" in path.parts:
            continue
        for node in nodes(path):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == call:
                found.append(f"{name_of(path)}:{node.lineno}")
    assert not found, f"{call} in {found}: {FORBIDDEN_CALLS[call]}"


def test_modules_are_named_after_what_they_hold() -> None:
    assert not [name_of(path) for path in sources(*ROOMS) if path.stem in FORBIDDEN_NAMES]


def test_files_and_functions_fit_a_head() -> None:
    long_files = [name_of(p) for p in sources(*ROOMS) if p.read_text(encoding="utf-8").count("\n") > LINES_LIMIT]
    long_functions, greedy = [], []
    for path in sources(*ROOMS):
        for function in functions(path):
            place = f"{name_of(path)}:{function.lineno} {function.name}"
            if (function.end_lineno or 0) - function.lineno > FUNCTION_LINES_LIMIT:
                long_functions.append(place)
            if len(function.args.args) + len(function.args.posonlyargs) > POSITIONAL_LIMIT + 1:
                greedy.append(place)
    assert not long_files, f"split: {long_files}"
    assert not long_functions, f"split: {long_functions}"
    assert not greedy, f"make parameters keyword-only, or give them a name together: {greedy}"


def test_no_error_is_swallowed() -> None:
    found = []
    for path in sources(*ROOMS):
        for node in nodes(path):
            if isinstance(node, ast.ExceptHandler):
                bare = node.type is None or ast.unparse(node.type) in ("Exception", "BaseException")
                if bare and not any(isinstance(inner, ast.Raise) for inner in ast.walk(node)):
                    found.append(f"{name_of(path)}:{node.lineno}")
    assert not found, f"name the errors that are expected: {found}"


def test_input_is_never_validated_with_assert() -> None:
    found = [
        f"{name_of(path)}:{node.lineno}"
        for path in sources(*ROOMS)
        for node in nodes(path)
        if isinstance(node, ast.Assert)
    ]
    assert not found, f"raise an error of the room instead: {found}"


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        name_of(path)
        for path in sources(*ROOMS)
        if path.read_text(encoding="utf-8").strip()
        and not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not silent, f"give these a docstring: {silent}"


def test_documents_point_at_files_that_exist() -> None:
    missing = []
    for page in [REPOSITORY / "README.md", *(REPOSITORY / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if "://" not in target and not (page.parent / target).exists():
                missing.append(f"{name_of(page)} -> {target}")
    assert not missing
