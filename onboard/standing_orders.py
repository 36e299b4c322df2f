"""What the open commands of the ground come to: requests, known contacts, scenes to be dropped, references to be forgotten (pure but for
its journal).

Everything here follows from the uplink journal alone, so it is the same after a reboot.
"""

from downlink.command import Command, DropScene, ForgetReferences, RequestLayers, UploadContacts
from downlink.contact import Contact
from downlink.requests import LayerRequest
from onboard.uplink_journal import UplinkJournal


class StandingOrders:
    """The open commands by what they ask for."""

    def __init__(self, journal: UplinkJournal) -> None:
        self._journal = journal

    def requests(self, now_ms: int) -> tuple[LayerRequest, ...]:
        """Requests that hold now, in the order in which they were made."""
        orders = (command.order for command in self._commands())
        return tuple(
            order.request for order in orders if isinstance(order, RequestLayers) and now_ms < order.request.until_ms
        )

    def contacts(self, now_ms: int) -> tuple[Contact, ...]:
        """Contacts that have not ended, in order of AOS; of overlapping uploads the later counts."""
        known: list[Contact] = []
        for command in self._commands():
            upload = command.order
            if isinstance(upload, UploadContacts):
                outside = (one for one in known if not upload.from_ms <= one.aos_ms < upload.until_ms)
                known = [*outside, *upload.contacts]
        return tuple(sorted((one for one in known if now_ms < one.los_ms), key=lambda one: one.aos_ms))

    @property
    def scenes_to_drop(self) -> tuple[int, ...]:
        """Scenes that were to be dropped and have not been reported dropped."""
        orders = (command.order for command in self._commands())
        return tuple(dict.fromkeys(order.scene for order in orders if isinstance(order, DropScene)))

    def scene_dropped(self, scene: int) -> None:
        """The scene has been dropped, durably. Raises JournalError; then it is to be dropped again, which does no harm."""
        for command in self._commands():
            if isinstance(command.order, DropScene) and command.order.scene == scene:
                self._journal.close(command.number)

    @property
    def references_to_forget(self) -> tuple[int | None, ...]:
        """Scenes that nothing may be predicted from any more, and that have not been reported forgotten; None among them: every scene."""
        orders = (command.order for command in self._commands())
        return tuple(dict.fromkeys(order.scene for order in orders if isinstance(order, ForgetReferences)))

    def references_forgotten(self, scene: int | None) -> None:
        """They have been forgotten, durably. Raises JournalError; then they are to be forgotten again, which costs references alone."""
        for command in self._commands():
            if isinstance(command.order, ForgetReferences) and command.order.scene == scene:
                self._journal.close(command.number)

    def _commands(self) -> tuple[Command, ...]:
        return tuple(self._journal.open_commands.values())
