"""`tianshu channel`: the emulated channel as a process between two programs that talk UDP."""

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from mission.errors import RelayError
from mission.live.service_options import add_service_options

if TYPE_CHECKING:  # a command that starts at once imports what it needs when it runs
    from mission.channel_profile import ChannelProfile
    from mission.channel_relay import ChannelRelay
    from mission.datagram_relay import RelayCounts

ANY_PORT = "127.0.0.1:0"
PROFILE_KEYS = {"seed": "seed", "duration": "duration_s", "queue": "queue_ms"}
"""Options and the keys of a profile that they go before."""
DIRECTION_KEYS = {
    "rate": "rate_bps",
    "delay": "delay_ms",
    "jitter": "jitter_ms",
    "loss": "frame_loss",
    "bit_errors": "bit_error_rate",
}
"""The same, of both directions."""


def add_channel_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command and its options."""
    parser = commands.add_parser(
        "channel",
        help="relay UDP datagrams through an emulated space link",
        description="Each side sends to its own port of the relay and takes the relay for the other side. "
        "With --scenario (or TIANSHU_SCENARIO) it is a service: contacts by the wall clock, every option also as "
        "TIANSHU_<NAME>. Else the channel is that of --profile and of the options, and what happened to the datagrams is "
        "printed at the end. SIGTERM or SIGINT ends it.",
    )
    add_service_options(parser)
    parser.add_argument("--profile", type=Path, metavar="FILE", help="TOML file of the channel; options go before it")
    for side in ("air", "ground"):
        parser.add_argument(
            f"--{side}", metavar="HOST:PORT", help=f"where the {side} side sends to (any free port of 127.0.0.1)"
        )
        parser.add_argument(f"--{side}-peer", metavar="HOST:PORT", help=f"the {side} side's own address (first sender)")
    parser.add_argument("--seed", type=int, metavar="N", help="seed of all chance (0, or the scenario's)")
    parser.add_argument("--duration", type=float, metavar="S", help="seconds to run (until stopped)")
    parser.add_argument("--queue", type=int, metavar="MS", help="longest wait for the transmitter (1000)")
    parser.add_argument("--rate", type=int, metavar="BPS", help="bits per second, both directions")
    parser.add_argument("--delay", type=int, metavar="MS", help="one-way delay, both directions")
    parser.add_argument("--jitter", type=int, metavar="MS", help="longest extra delay, both directions")
    parser.add_argument("--loss", type=float, metavar="P", help="share of datagrams lost, both directions")
    parser.add_argument("--bit-errors", type=float, metavar="P", help="chance of a bit to flip")
    parser.add_argument(
        "--weather", metavar="FILE", help="with a scenario: TOML file of such numbers, read when it changes"
    )
    parser.add_argument("--json", action="store_true", help="print the counts as JSON and nothing else")
    parser.set_defaults(command=relay_channel)


def relay_channel(options: argparse.Namespace) -> int:
    """Runs the channel until it is told to stop, or its time is over. Raises MissionError."""
    if options.profile is not None and options.scenario is not None:
        raise RelayError("--profile and --scenario both say what the channel does; give one of them")
    if options.profile is None and (options.scenario or os.environ.get("TIANSHU_SCENARIO")):
        from mission.live.channel_service import run_channel

        return run_channel(options)
    return _run_profile(options)


def _run_profile(options: argparse.Namespace) -> int:
    from mission.channel_profile import load_profile

    profile = load_profile(options.profile, _changes(options))
    with _relay(profile, options) as relay:

        def stop(number: int, frame: FrameType | None) -> None:
            relay.stop()

        before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            (air, air_port), (ground, ground_port) = relay.air_address, relay.ground_address
            sys.stderr.write(f"tianshu channel: air side {air}:{air_port}, ground side {ground}:{ground_port}\n")
            sys.stderr.flush()
            relay.run(profile.duration_s)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        _show(relay.counts(), as_json=options.json)
    return 0


def _relay(profile: "ChannelProfile", options: argparse.Namespace) -> "ChannelRelay":
    from mission.channel_relay import ChannelRelay
    from mission.udp_port import parsed_address

    down, up = profile.channels()
    return ChannelRelay(
        down,
        up,
        seed=profile.seed,
        air=parsed_address(options.air or ANY_PORT),
        ground=parsed_address(options.ground or ANY_PORT),
        air_peer=parsed_address(options.air_peer) if options.air_peer else None,
        ground_peer=parsed_address(options.ground_peer) if options.ground_peer else None,
        queue_ms=profile.queue_ms,
        from_first_datagram=profile.from_first_datagram,
    )


def _changes(options: argparse.Namespace) -> dict[str, Any]:
    whole = {key: getattr(options, name) for name, key in PROFILE_KEYS.items() if getattr(options, name) is not None}
    each = {key: getattr(options, name) for name, key in DIRECTION_KEYS.items() if getattr(options, name) is not None}
    return whole | ({"down": each, "up": each} if each else {})


def _show(counts: "RelayCounts", *, as_json: bool) -> None:
    if as_json:
        json.dump(counts.to_json(), sys.stdout)
        sys.stdout.write("\n")
        return
    for name, direction in (("down", counts.down), ("up", counts.up)):
        channel = direction.channel
        sys.stdout.write(
            f"{name:>4}: {channel.sent} sent, {channel.lost} lost, {channel.unsent} without contact, "
            f"{direction.queue_dropped} dropped from the queue, {direction.delivered} delivered "
            f"({direction.delivered_bytes} bytes)\n"
        )
