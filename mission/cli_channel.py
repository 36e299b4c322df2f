"""`tianshu channel`: the emulated channel as a process between two programs that talk UDP."""

import argparse
import json
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from mission.channel_profile import ChannelProfile, load_profile
from mission.channel_relay import ChannelRelay, RelayCounts
from mission.udp_port import parsed_address

BOTH_DIRECTIONS = ("rate_bps", "delay_ms", "jitter_ms", "frame_loss", "bit_error_rate")
WHOLE_PROFILE = ("seed", "duration_s", "queue_ms")


def add_channel_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command and its options."""
    parser = commands.add_parser(
        "channel",
        help="relay UDP datagrams through an emulated space link",
        description="Each side sends to its own port of the relay and takes the relay for the other side. "
        "SIGTERM or SIGINT ends it; what happened to the datagrams is printed then.",
    )
    parser.add_argument("--profile", type=Path, metavar="FILE", help="TOML file of the channel; options go before it")
    for side in ("air", "ground"):
        parser.add_argument(
            f"--{side}",
            default="127.0.0.1:0",
            metavar="HOST:PORT",
            help=f"where the {side} side sends to (any free port)",
        )
        parser.add_argument(f"--{side}-peer", metavar="HOST:PORT", help=f"the {side} side's own address (first sender)")
    parser.add_argument("--seed", type=int, metavar="N", help="seed of all chance (0)")
    parser.add_argument("--duration", type=float, dest="duration_s", metavar="S", help="seconds to run (until stopped)")
    parser.add_argument(
        "--queue", type=int, dest="queue_ms", metavar="MS", help="longest wait for the transmitter (1000)"
    )
    parser.add_argument("--rate", type=int, dest="rate_bps", metavar="BPS", help="bits per second, both directions")
    parser.add_argument("--delay", type=int, dest="delay_ms", metavar="MS", help="one-way delay, both directions")
    parser.add_argument(
        "--jitter", type=int, dest="jitter_ms", metavar="MS", help="longest extra delay, both directions"
    )
    parser.add_argument(
        "--loss", type=float, dest="frame_loss", metavar="P", help="share of datagrams lost, both directions"
    )
    parser.add_argument("--bit-errors", type=float, dest="bit_error_rate", metavar="P", help="chance of a bit to flip")
    parser.add_argument("--json", action="store_true", help="print the counts as JSON and nothing else")
    parser.set_defaults(command=relay_channel)


def relay_channel(options: argparse.Namespace) -> int:
    """Runs the relay until it is told to stop, or its time is over; prints the counts. Raises MissionError."""
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


def _relay(profile: ChannelProfile, options: argparse.Namespace) -> ChannelRelay:
    down, up = profile.channels()
    return ChannelRelay(
        down,
        up,
        seed=profile.seed,
        air=parsed_address(options.air),
        ground=parsed_address(options.ground),
        air_peer=parsed_address(options.air_peer) if options.air_peer else None,
        ground_peer=parsed_address(options.ground_peer) if options.ground_peer else None,
        queue_ms=profile.queue_ms,
        from_first_datagram=profile.from_first_datagram,
    )


def _changes(options: argparse.Namespace) -> dict[str, Any]:
    whole = {key: getattr(options, key) for key in WHOLE_PROFILE if getattr(options, key) is not None}
    each = {key: getattr(options, key) for key in BOTH_DIRECTIONS if getattr(options, key) is not None}
    return whole | ({"down": each, "up": each} if each else {})


def _show(counts: RelayCounts, *, as_json: bool) -> None:
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
