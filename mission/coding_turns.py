"""The processor of the satellite in virtual time: it surveys scenes as they are captured and codes in between, one image at a turn.

A survey goes before coding; what has begun is finished. The work itself is done at the beginning of its time, by the energy there is
then, and what it has made is told to the computer at the end. A turn that finds nothing worth its bytes, or no energy, is the last until
the coder is woken: after a survey, when a command was heard, now and then during a contact and at its end, and a while after a refusal.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from downlink.contact import Contact
from mission.simulation import World
from onboard.energy_ledger import EnergyLedger
from onboard.energy_prices import EnergyStep
from onboard.link_events import LayersCaptured
from onboard.scene_coder import CodedBlock, SceneCoder
from onboard.valuation import ValuedLayer

AGAIN_AFTER_REFUSAL_MS: Final = 60_000
"""Energy that was not there is looked for again after so long."""
TURNS_PER_CONTACT: Final = 20
"""How often in a contact it is looked at whether more is worth coding, beside its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveyTime:
    """How long a survey keeps the processor busy."""

    looking_ms: int
    """Until summary and alerts are there."""
    chips_ms: int
    """From then until the chips are."""


@dataclass(slots=True, kw_only=True)
class CodingTurns:
    """One processor."""

    world: World
    """Time, and the computer that is told of layers."""
    coder: SceneCoder
    """Codes; its layers must come to `take`."""
    survey: Callable[[int], SurveyTime]
    """Surveys a scene by its number in the order of capture, its layers coming to `take`; gives how long that takes."""
    coding_ms: Callable[[float], int]
    """How long it takes to code so many million pixels."""
    ledger: EnergyLedger
    """Where joules are entered."""
    until_ms: int
    """The end of the last contact: nothing is coded from then on, for nothing would carry it."""
    coded: list[CodedBlock] = field(default_factory=list)
    """In order."""
    spent_j: float = 0.0
    """On coding blocks."""
    _captured: list[int] = field(default_factory=list)
    _made: list[Sequence[ValuedLayer]] = field(default_factory=list)
    _is_busy: bool = False
    _last_command: int = -1
    _looks_again_ms: int = -1

    def take(self, layers: Sequence[ValuedLayer]) -> None:
        """Layers that are made now, to be told at the end of the work."""
        self._made.append(layers)

    def capture(self, number: int) -> None:
        """A scene has been captured."""
        self._captured.append(number)
        self.wake()

    def watch(self, contacts: Sequence[Contact]) -> None:
        """Have the coder woken by these contacts, and by commands that are heard."""
        for contact in contacts:
            step_ms = max(1, contact.duration_ms // TURNS_PER_CONTACT)
            for at_ms in range(contact.aos_ms, contact.los_ms, step_ms):
                self.world.schedule(at_ms, self.wake)
            self.world.schedule(contact.los_ms, self.wake)
        self.world.as_heard_on_board = self._heard

    def wake(self) -> None:
        """Go on with whatever is to be done, unless something is being done."""
        if self._is_busy:
            return
        if self._captured:
            self._survey_one(self._captured.pop(0))
        elif self.world.now_ms < self.until_ms:
            self._code_one()

    def _survey_one(self, number: int) -> None:
        time = self.survey(number)
        express = [layers for layers in self._made if layers and layers[0].layer.address.is_express]
        self._made = [layers for layers in self._made if not (layers and layers[0].layer.address.is_express)]
        self.world.schedule(self.world.now_ms + time.looking_ms, lambda: self._tell(express))
        self._work(time.looking_ms + time.chips_ms)

    def _code_one(self) -> None:
        now_ms, computer = self.world.now_ms, self.world.computer
        with self._spending():
            block = self.coder.code_next(
                now_ms, price=computer.coding_price(now_ms), requests=computer.standing_requests(now_ms)
            )
        if block is not None:
            self.coded.append(block)
            self._work(self.coding_ms(block.mpix))
        elif self.coder.refusal and now_ms >= self._looks_again_ms:
            self._looks_again_ms = now_ms + AGAIN_AFTER_REFUSAL_MS
            self.world.schedule(self._looks_again_ms, self.wake)

    def _work(self, duration_ms: int) -> None:
        """The processor is busy for so long; then what it has made is there, and it goes on."""
        self._is_busy = True
        self.world.schedule(self.world.now_ms + duration_ms, self._finish)

    def _finish(self) -> None:
        made, self._made = self._made, []
        self._tell(made)
        self._is_busy = False
        self.wake()

    def _tell(self, made: Sequence[Sequence[ValuedLayer]]) -> None:
        for layers in made:
            self.world.tell_computer(LayersCaptured(layers=layers))

    def _heard(self, frame: bytes) -> None:
        last = self.world.computer.gate.last_number
        if last != self._last_command:
            self._last_command = last
            self.wake()

    @contextmanager
    def _spending(self) -> Iterator[None]:
        before_j = self.ledger.by_step.get(EnergyStep.ENCODE, 0.0)
        yield
        self.spent_j += self.ledger.by_step.get(EnergyStep.ENCODE, 0.0) - before_j
