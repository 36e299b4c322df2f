"""Fuzz target of satellite and ground together, on a link that loses, repeats, reorders and damages, through reboots of both."""

from collections.abc import Iterable

from downlink.contact import Contact
from downlink.errors import CommandError
from downlink.link_events import ContactEnded, ContactStarted, FrameHeard, TransmitFrame, TransmitterReady
from downlink.products import LayerAddress
from ground.errors import CommandDeskError
from mission.link_ends import EndJournals, ground_station, onboard_computer
from onboard.computer import OnboardComputer
from onboard.link_events import LayersCaptured, LayersDelivered
from onboard.valuation import ValuedLayer
from tests.fuzz.contract import Target, require, value_or_refusal
from tests.fuzz.link_tape import CAPACITY_BYTES, LAYERS_LIMIT, LINK_KEYS, PROFILE, captured_from, contact_from
from tests.fuzz.tape import Tape
from tests.fuzz.uplink_targets import NOW_MS, order_from

STEPS_LIMIT = 160
CLEAR_ROUNDS = 400
"""Rounds of a perfect link after which nothing may be left to send: six waits, each at its longest, and every byte ten times."""


def frames_of(answer: Iterable[object]) -> list[bytes]:
    """The frames that an end wants to be sent."""
    return [action.frame for action in answer if isinstance(action, TransmitFrame)]


class _Link:
    """Both ends, the frames between them, and what was captured."""

    def __init__(self) -> None:
        self.now_ms = NOW_MS
        self.onboard, self.ground = EndJournals(), EndJournals()
        self.computer = self._new_computer()
        self.station = ground_station(PROFILE, journals=self.ground, keys=LINK_KEYS)
        self.snapshot: bytes | None = None
        self.down: list[bytes] = []
        self.up: list[bytes] = []
        self.payloads: dict[LayerAddress, bytes] = {}

    def _new_computer(self) -> OnboardComputer:
        return onboard_computer(PROFILE, capacity_bytes=CAPACITY_BYTES, journals=self.onboard, keys=LINK_KEYS)

    def capture(self, layers: list[ValuedLayer]) -> None:
        fresh = [one for one in layers if one.layer.address not in self.payloads][: LAYERS_LIMIT - len(self.payloads)]
        for one in fresh:
            self.payloads.setdefault(one.layer.address, one.payload)
        self.computer.handle(LayersCaptured(layers=fresh), self.now_ms)

    def send(self, frames: int) -> bool:
        """Both ends send up to so many frames; whether either had any."""
        before = len(self.down) + len(self.up)
        for _ in range(frames):
            self.down += frames_of(self.tell_computer(TransmitterReady()))
            self.up += frames_of(self.station.handle(TransmitterReady(), self.now_ms))
            # No radio of ours sends more than a frame in a millisecond; frame counts of a restarted station rely on it.
            self.now_ms += 1
        return len(self.down) + len(self.up) > before

    def arrive(self) -> None:
        """What is on the way arrives, first down, then up."""
        down, up, self.down, self.up = self.down, self.up, [], []
        for frame in down:
            self.station.handle(FrameHeard(frame=frame), self.now_ms)
        for frame in up:
            self.tell_computer(FrameHeard(frame=frame))

    def tell_computer(self, event: FrameHeard | TransmitterReady) -> list[object]:
        answer: list[object] = list(self.computer.handle(event, self.now_ms))
        for action in answer:
            if isinstance(action, LayersDelivered):
                self.check_held(action.addresses)
        return answer

    def check_held(self, addresses: tuple[LayerAddress, ...]) -> None:
        for address in addresses:
            require(
                self.station.store.holds(address), f"{address} is marked delivered, and the ground does not have it"
            )

    def disturb(self, tape: Tape) -> None:
        """Loses, repeats, delays or damages some frames on the way."""
        how, which = tape.below(8), tape.byte()
        frames = self.up if how & 4 else self.down
        touched = [n for n in range(len(frames)) if which >> n % 8 & 1]
        match how & 3:
            case 0:
                frames[:] = [frame for n, frame in enumerate(frames) if n not in touched]
            case 1:
                frames += [frames[n] for n in touched]
            case 2:
                frames[:] = [frame for n, frame in enumerate(frames) if n not in touched] + [frames[n] for n in touched]
            case _:
                for n in touched:
                    damaged = bytearray(frames[n])
                    damaged[which % len(damaged)] ^= 1 + which % 255
                    frames[n] = bytes(damaged)

    def contact(self, contact: Contact | None) -> None:
        event = ContactEnded() if contact is None else ContactStarted(contact=contact)
        self.computer.handle(event, self.now_ms)
        self.station.handle(event, self.now_ms)

    def reboot(self, which: int) -> None:
        if which & 1:
            self.computer = self._new_computer()
        if which & 2:
            self.snapshot = self.station.snapshot(self.now_ms)
        if which & 4:
            snapshot = self.snapshot if which & 8 else None
            self.station = ground_station(
                PROFILE, journals=self.ground, keys=LINK_KEYS, snapshot=snapshot, now_ms=self.now_ms
            )

    def check_stored(self) -> None:
        store = self.station.store
        for address in store.addresses:
            require(store.payload(address) == self.payloads.get(address), f"{address} is not what was captured")
        self.check_held(tuple(self.computer.store.delivered))
        require(self.computer.store.account().balanced, "the account does not balance")

    def settle(self) -> None:
        """A perfect link, for as long as either end has anything to say."""
        self.contact(None)
        self.now_ms += 1000
        good = Contact(
            contact_id=99, station="Awarua", aos_ms=self.now_ms, los_ms=self.now_ms + 10**7, downlink_bps=10**6, uplink_bps=10**5,
            one_way_delay_ms=1, frame_loss=0.0,
        )  # fmt: skip
        self.contact(good)
        for _ in range(CLEAR_ROUNDS):
            self.send(8)
            self.arrive()
            if not self.computer.store.backlog() and not self.computer.open_files:
                break
            self.now_ms += 50
        backlog = self.computer.store.backlog()
        require(not backlog, f"on a perfect link {[str(layer.address) for layer in backlog]} are not delivered")


def both_ends(data: bytes) -> None:
    """Whatever the link and reboots do: stored is what was captured, delivered is what is stored, and in the end all is delivered."""
    tape, link = Tape(data), _Link()
    for _ in range(STEPS_LIMIT):
        if not tape:
            break
        match tape.below(10):
            case 0:
                link.capture(captured_from(tape))
            case 1 | 2:
                link.send(1 + tape.below(16))
            case 3 | 4:
                link.arrive()
            case 5:
                link.disturb(tape)
            case 6:
                link.now_ms += 1 + tape.number(2) % 8000
            case 7:
                link.contact(contact_from(tape) if tape.below(4) else None)
            case 8:
                # The desk itself refuses link reports, and more orders than it keeps.
                value_or_refusal(
                    (CommandError, CommandDeskError), link.station.desk.issue, order_from(tape), link.now_ms
                )
            case _:
                link.reboot(tape.byte())
    link.check_stored()
    link.settle()
    link.check_stored()


def _both_seeds() -> list[bytes]:
    capture, more = (
        b"\x00\x03\x02\x00\x20\x05\x06\x00\x90\x07\x00\x00\x30\x09\x0a\x01\x10\x02",
        b"\x00\x01\x22\x00\x50\x05\x26\x00\x90\x03",
    )
    contact, listen, end = b"\x07\x01\x01\xff\xff\x40", b"\x07\x01\x00\xff\xff\x40", b"\x07\x00"
    send, arrive, wait = b"\x01\x0f", b"\x03", b"\x06\x01\x00"
    lose, twice, late, damage, lose_up = (
        b"\x05\x00\x24",
        b"\x05\x01\x11",
        b"\x05\x02\x05",
        b"\x05\x03\x40",
        b"\x05\x04\x55",
    )
    order = b"\x08\x02\x01"
    return [
        capture + contact + send + lose + arrive + wait + send + arrive + more + send + lose_up + arrive + wait + send + twice + arrive,
        capture + contact + send + arrive + b"\x09\x01" + contact + send + late + arrive + wait + send + damage + arrive,
        capture + listen + send + lose + arrive + send + arrive + end + more + contact + send + arrive + order + send + arrive,
        capture + contact + send + lose + arrive + b"\x09\x02" + send + arrive + b"\x09\x0c" + contact + wait + send + arrive,
        capture + contact + send + arrive + send + b"\x09\x04" + contact + send + lose_up + arrive + wait + send + arrive,
    ]  # fmt: skip


TARGETS = {"both_ends": Target(run=both_ends, seeds=_both_seeds, longest=1024, share=6, kept_bytes=4000)}
