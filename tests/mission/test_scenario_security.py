"""Key files and the security section: what is wrong is named, and no key is ever shown."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from mission.errors import KeyFileError
from mission.key_file import read_key_file
from mission.scenario_security import SecuritySection, simulated_association

KEY = "0f1e2d3c4b5a69788796a5b4c3d2e1f0" * 2
OLD = "a1b2c3d4e5f60718293a4b5c6d7e8f90" * 2


def key_file(tmp_path, text, mode=0o600):
    path = tmp_path / "uplink.key"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def test_keys_come_in_the_order_of_the_file(tmp_path):
    path = key_file(tmp_path, f"# two keys\n\n 8 {KEY.upper()}  # protects\n7\t{OLD}\n")
    assert [(one.spi, one.key.hex()) for one in read_key_file(path)] == [(8, KEY), (7, OLD)]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("", None, "0 keys"),
        ("# nothing\n", None, "0 keys"),
        ("".join(f"{spi} {spi:064x}\n" for spi in range(1, 6)), None, "5 keys"),
        (f"8 {KEY}\n{KEY}\n", 2, "1 words"),
        (f"8 {KEY} {OLD}\n", 1, "3 words"),
        (f"8 {KEY[:-1]}\n", 1, "63 digits"),
        (f"8 {KEY}0\n", 1, "65 digits"),
        (f"8 {KEY[:-1]}g\n", 1, "not hexadecimal"),
        (f"8 {KEY[:-1]}٣\n", 1, "not hexadecimal"),
        (f"x8 {KEY}\n", 1, "index"),
        (f"{'8' * 6000} {KEY}\n", 1, "index"),
        (f"0 {KEY}\n", 1, "use 1..65534"),
        (f"65535 {KEY}\n", 1, "use 1..65534"),
        (f"8 {KEY}\n8 {OLD}\n", 2, "comes twice"),
        (f"8 {KEY}\n7 {KEY}\n", 2, "another index"),
    ],
)
def test_what_is_wrong_in_a_key_file_is_named_without_the_key(tmp_path, text, line, said):
    path = key_file(tmp_path, text)
    with pytest.raises(KeyFileError) as caught:
        read_key_file(path)
    assert caught.value.path == path and caught.value.line == line
    assert said in str(caught.value) and str(path) in str(caught.value)
    assert KEY[:16] not in str(caught.value) and OLD[:16] not in str(caught.value)


def test_a_file_that_is_absent_no_file_or_no_text_is_named(tmp_path):
    with pytest.raises(KeyFileError, match="openssl rand -hex 32"):
        read_key_file(tmp_path / "absent.key")
    with pytest.raises(KeyFileError, match="is not a file"):
        read_key_file(tmp_path)
    binary = tmp_path / "binary.key"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(KeyFileError, match="not text"):
        read_key_file(binary)
    binary.write_bytes(bytes(100_000))
    with pytest.raises(KeyFileError, match="100000 bytes"):
        read_key_file(binary)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o602, 0o644])
def test_a_file_that_others_may_use_is_refused_unless_it_may_be_shared(tmp_path, mode):
    path = key_file(tmp_path, f"8 {KEY}\n", mode)
    with pytest.raises(KeyFileError, match=f"mode {mode:04o}.*chmod 600"):
        read_key_file(path)
    assert len(read_key_file(path, may_be_shared=True)) == 1
    section = SecuritySection.model_validate({"uplink_key_file": "uplink.key", "key_file_may_be_shared": True})
    assert section.associations(seed=1, folder=tmp_path)[0].key.hex() == KEY


def test_the_section_reads_the_file_beside_the_scenario_or_makes_a_key_from_the_seed(tmp_path):
    key_file(tmp_path, f"8 {KEY}\n7 {OLD}\n")
    section = SecuritySection.model_validate({"uplink_key_file": "uplink.key"})
    assert section.uplink_key_file == Path("uplink.key")
    assert [one.spi for one in section.associations(seed=1, folder=tmp_path)] == [8, 7]
    assert SecuritySection().associations(seed=7, folder=tmp_path) == (simulated_association(7),)
    assert simulated_association(7) == simulated_association(7) != simulated_association(8)
    assert len(simulated_association(7).key) == 32


@pytest.mark.parametrize("data", [{"uplink_key": KEY}, {"reboot_lockout_s": 0.0}, {"reboot_lockout_s": 601.0}])
def test_what_the_section_does_not_know_is_refused(data):
    with pytest.raises(ValidationError):
        SecuritySection.model_validate(data)


def test_the_lockout_in_milliseconds():
    assert SecuritySection(reboot_lockout_s=0.25).reboot_lockout_ms == 250
