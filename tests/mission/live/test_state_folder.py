"""State folders: one process at a time, starts that are counted durably, small files replaced whole."""

import errno
import os
import subprocess
import sys

import pytest

from mission.errors import ServiceError
from mission.live import state_folder
from mission.live.state_folder import StateFolder, replace_small_file

HOLD = """
import sys, os, signal
from pathlib import Path
from mission.live.state_folder import StateFolder
folder = StateFolder(Path(sys.argv[1]), service="ground")
print(folder.count_boot()[0], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_starts_are_counted_over_processes_that_are_killed(tmp_path):
    state = tmp_path / "deep" / "state"
    for expected in (1, 2, 3):
        killed = subprocess.run([sys.executable, "-c", HOLD, str(state)], capture_output=True, text=True)
        assert (killed.stdout.strip(), killed.returncode) == (str(expected), -9)
    folder = StateFolder(state, service="ground")
    assert folder.count_boot() == (4, "")
    folder.close()


def test_two_processes_do_not_share_a_state_folder(tmp_path):
    folder = StateFolder(tmp_path, service="onboard")
    with pytest.raises(ServiceError, match=f"{tmp_path} is used by another process.*--state"):
        StateFolder(tmp_path, service="onboard")
    folder.close()
    StateFolder(tmp_path, service="onboard").close()


def test_a_folder_that_cannot_be_made_is_refused_with_its_name(tmp_path):
    (tmp_path / "file").write_bytes(b"\x12")
    with pytest.raises(ServiceError, match=r"onboard service cannot use its state folder .*file/state"):
        StateFolder(tmp_path / "file" / "state", service="onboard")


@pytest.mark.parametrize("content", ["", "0000000041\n"])
def test_a_count_that_was_cut_short_begins_again_and_a_whole_one_goes_on(tmp_path, content):
    (tmp_path / "boots").write_text(content)
    folder = StateFolder(tmp_path, service="onboard")
    assert folder.count_boot() == ((42 if content else 1), "")
    assert folder.count_boot()[0] == (43 if content else 2)
    folder.close()


def test_a_count_that_is_none_is_told(tmp_path):
    (tmp_path / "boots").write_text("many")
    folder = StateFolder(tmp_path, service="onboard")
    number, problem = folder.count_boot()
    assert number == 1 and "boots cannot be read" in problem
    folder.close()


def test_a_full_disk_does_not_keep_a_service_from_starting(tmp_path, monkeypatch):
    folder = StateFolder(tmp_path, service="onboard")
    folder.count_boot()

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(state_folder.os, "pwrite", full)
    number, problem = folder.count_boot()
    assert number == 2 and "No space left" in problem
    folder.close()


@pytest.mark.parametrize("durable", [True, False])
def test_a_small_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch, durable):
    file = tmp_path / "load.json"
    replace_small_file(file, b"\x12\x34first", durable=durable)
    with file.open("rb") as opened_before:
        replace_small_file(file, b"\x56\x78second", durable=durable)
        assert opened_before.read() == b"\x12\x34first"
    assert file.read_bytes() == b"\x56\x78second"

    def full(self, target):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(type(file), "replace", full)
    with pytest.raises(OSError, match="No space"):
        replace_small_file(file, b"third", durable=durable)
    assert file.read_bytes() == b"\x56\x78second"
    assert os.listdir(tmp_path) == ["load.json"]
