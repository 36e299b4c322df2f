"""What the UDP relay carries and what it adds: datagrams through `tianshu channel` on loopback.

python -m benchmarks.channel_relay [--json]

A sender in a process of its own keeps a rate, the receiver counts and compares clocks. The relay's processor time per datagram says what
a core of its own would carry; the measured rate also depends on what else the machine does, because sender, relay and
receiver want three cores.
"""

import argparse
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass

from mission.udp_port import Address

DATAGRAM_BYTES = 1115
OFFERED_MBPS = (10, 100, 300, 1000)
SECONDS = 2.0
DELAY_MS = 25
_STAMP = struct.Struct("d")
_AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayFigures:
    """One run."""

    offered_mbps: float
    """What the sender was to send."""
    sent_mbps: float
    """What it sent."""
    received_mbps: float
    """What came out."""
    received_share: float
    """Datagrams that came out, of those sent; the relay loses none, full socket buffers do."""
    added_ms_median: float
    """Median of the time in the relay beyond the emulated delay."""
    added_ms_p99: float
    """99th percentile of it."""
    relay_cpu_us: float
    """Processor time of the relay per datagram that came out, its start taken off."""

    @property
    def core_mbps(self) -> float:
        """What a core of its own would carry."""
        return DATAGRAM_BYTES * 8 / self.relay_cpu_us


def measure(offered_mbps: float, *, seconds: float = SECONDS) -> RelayFigures:
    """One rate, downlink only."""
    idle_s = _relay_cpu_s(lambda air, ground: None)
    found: list[tuple[int, list[float], float]] = []
    busy_s = _relay_cpu_s(lambda air, ground: found.append(_drive(air, ground, offered_mbps, seconds)))
    sent, latencies_s, span_s = found[0]
    added_ms = sorted(1000 * latency - DELAY_MS for latency in latencies_s)
    mbit = DATAGRAM_BYTES * 8 / 1e6
    return RelayFigures(
        offered_mbps=offered_mbps,
        sent_mbps=sent * mbit / seconds,
        received_mbps=len(added_ms) * mbit / span_s,
        received_share=len(added_ms) / sent,
        added_ms_median=added_ms[len(added_ms) // 2],
        added_ms_p99=added_ms[len(added_ms) * 99 // 100],
        relay_cpu_us=(busy_s - idle_s) * 1e6 / len(added_ms),
    )


def _relay_cpu_s(use: Callable[[Address, Address], None]) -> float:
    """Starts a relay, has it used, ends it; its processor time."""
    command = [
        sys.executable,
        "-m",
        "mission.cli",
        "channel",
        "--json",
        "--rate",
        "4000000000",
        "--delay",
        str(DELAY_MS),
    ]
    relay = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        line = relay.stderr.readline() if relay.stderr else ""
        air, ground = (("127.0.0.1", int(port)) for port in re.findall(r":(\d+)", line)[-2:])
        use(air, ground)
    finally:
        relay.send_signal(signal.SIGTERM)
        _, status, usage = os.wait4(relay.pid, 0)
        relay.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime


def _drive(air: Address, ground: Address, offered_mbps: float, seconds: float) -> tuple[int, list[float], float]:
    """Datagrams sent, the latencies of those received in seconds, and the time from the first to the last of these."""
    latencies_s: list[float] = []
    first_s = last_s = 0.0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        receiver.settimeout(1.0)
        receiver.sendto(b"here", ground)
        reader, writer = os.pipe()
        sender = os.fork()
        if sender == 0:
            os.write(writer, str(_send(air, offered_mbps, seconds)).encode())
            os._exit(0)
        with suppress(TimeoutError):
            while True:
                datagram = receiver.recv(65_535)
                last_s = time.perf_counter()
                first_s = first_s or last_s
                latencies_s.append(last_s - _STAMP.unpack_from(datagram)[0])
    sent = int(os.read(reader, 32))
    os.waitpid(sender, 0)
    return sent, latencies_s, last_s - first_s


def _send(air: Address, offered_mbps: float, seconds: float) -> int:
    filling = bytes(DATAGRAM_BYTES - _STAMP.size)
    interval_s = DATAGRAM_BYTES * 8 / 1e6 / offered_mbps
    sent = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        began_s = time.perf_counter()
        while (elapsed_s := time.perf_counter() - began_s) < seconds:
            due = int(elapsed_s / interval_s) - sent
            for _ in range(min(due, _AT_ONCE)):
                sender.sendto(_STAMP.pack(time.perf_counter()) + filling, air)
            sent += min(due, _AT_ONCE)
            time.sleep(0 if due > _AT_ONCE else 0.0002)
    return sent


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="What the UDP relay carries and what it adds.")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    as_json = parser.parse_args(arguments).json
    figures = [measure(offered) for offered in OFFERED_MBPS]
    if as_json:
        json.dump([asdict(each) | {"core_mbps": each.core_mbps} for each in figures], sys.stdout, indent=1)
        sys.stdout.write("\n")
        return
    print(
        f"{'offered':>8} {'sent':>7} {'received':>9} {'share':>7} {'added ms p50':>13} {'p99':>7} {'CPU us':>7} {'a core':>7}"
    )
    for each in figures:
        print(
            f"{each.offered_mbps:>8.0f} {each.sent_mbps:>7.1f} {each.received_mbps:>9.1f} {each.received_share:>7.1%} "
            f"{each.added_ms_median:>13.2f} {each.added_ms_p99:>7.2f} {each.relay_cpu_us:>7.1f} {each.core_mbps:>7.0f}"
        )


if __name__ == "__main__":
    main()
