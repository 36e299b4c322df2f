"""What the processor on board does in a flight: surveys, coding, and the time that each takes by the price list."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from downlink.products import Layer, LayerAddress
from downlink.scene import TileOutcome
from mission.coding_turns import CodingTurns, SurveyTime
from mission.pipeline_setup import pipeline_settings
from mission.scenario import Scenario
from mission.simulation import World
from onboard.detector import Detector
from onboard.energy_prices import EnergyPrices, EnergyStep
from onboard.policy import Policy
from onboard.power_system import PowerSystem
from onboard.processed_scene import ProcessedScene, TilePixels, TileReport
from onboard.raw_store import RawStore
from onboard.scene_coder import References, SceneCoder
from onboard.scene_survey import SceneSurvey
from onboard.sensor_frame import SensorFrame
from onboard.uncoded_tiles import UncodedTiles
from onboard.valuation import ValuedLayer


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkSetup:
    """What works on scenes, and on which."""

    scenario: Scenario
    """Prices and settings."""
    policy: Policy
    """What is worth sending."""
    detector: Detector | None
    """What looks at tiles."""
    frames: Sequence[SensorFrame]
    """The scenes, in order of capture."""
    captured_ms: Sequence[int]
    """When each is captured."""
    raw: RawStore
    """Where tiles wait for coding."""
    references: References
    """What the ground is known to hold."""
    on_tile: Callable[[TileReport], None]
    """Told of every tile surveyed."""


class OnboardWork:
    """The scenes of one flight."""

    def __init__(self, setup: WorkSetup, world: World, power: PowerSystem, *, until_ms: int) -> None:
        """Nothing is coded from `until_ms` on."""
        self._setup = setup
        self._world = world
        self._power = power
        self._prices = EnergyPrices(**setup.scenario.power.prices.model_dump())
        self._surveyed: list[ProcessedScene] = []
        self._pixels: dict[int, dict[int, TilePixels]] = defaultdict(dict)
        self.layers: dict[LayerAddress, Layer] = {}
        """Every layer made, in the order of making."""
        self.tiles = UncodedTiles(
            setup.raw,
            requests=lambda now_ms: world.computer.standing_requests(now_ms),
            on_pixels=lambda scene, tile, pixels: self._pixels[scene].__setitem__(tile, pixels),
        )
        self.turns = CodingTurns(
            world=world,
            coder=SceneCoder(
                policy=setup.policy,
                tiles=self.tiles,
                energy=power,
                emit=self._emit,
                references=setup.references,
            ),
            survey=self._survey,
            coding_ms=lambda mpix: self._duration_ms(EnergyStep.ENCODE, mpix),
            ledger=power.ledger,
            until_ms=until_ms,
        )

    def scenes(self) -> tuple[ProcessedScene, ...]:
        """The scenes in order of capture, each tile with what has become of its pixels by now."""
        coded_bytes: dict[int, dict[int, int]] = defaultdict(dict)
        for block in self.turns.coded:
            coded_bytes[block.scene][block.tile] = block.size_bytes
        return tuple(
            scene.with_pixels(self._pixels[scene.summary.scene], coded_bytes[scene.summary.scene])
            for scene in self._surveyed
        )

    def _emit(self, fresh: Sequence[ValuedLayer]) -> None:
        self.layers.update((valued.layer.address, valued.layer) for valued in fresh)
        self.turns.take(fresh)

    def _survey(self, number: int) -> SurveyTime:
        """Survey one scene; gives the time it takes."""
        setup, frame = self._setup, self._setup.frames[number]
        survey = SceneSurvey(
            policy=setup.policy,
            settings=pipeline_settings(setup.scenario, frame.dtype),
            detector=setup.detector,
            energy=self._power,
            tiles=self.tiles,
            emit=self._emit,
            on_tile=setup.on_tile,
        )
        scene = survey.survey(frame, scene=number + 1, captured_ms=setup.captured_ms[number])
        self._surveyed.append(scene)
        return self._survey_time(scene)

    def _survey_time(self, scene: ProcessedScene) -> SurveyTime:
        """What was done, by the price list."""
        looking_ms = 0
        for report in scene.tiles:
            mpix = report.tile.core.height * report.tile.core.width / 1e6
            steps = []
            if report.outcome is not TileOutcome.POWER:
                steps += [EnergyStep.INGEST, EnergyStep.SCREEN]
            if report.pixels is not TilePixels.NOT_KEPT:
                steps.append(EnergyStep.STORE)
            if report.outcome is TileOutcome.KEPT and not report.is_gated:
                steps.append(EnergyStep.DETECT)
            looking_ms += sum(self._duration_ms(step, mpix) for step in steps)
        chips = (chip.window.height * chip.window.width / 1e6 for chip in scene.chips)
        chips_ms = sum(self._duration_ms(EnergyStep.ENCODE, mpix) for mpix in chips)
        if scene.audit is not None:
            audited_px = len(scene.audit.units) * scene.audit.cell_px**2
            chips_ms += self._duration_ms(EnergyStep.ENCODE, audited_px / 1e6)
        return SurveyTime(looking_ms=looking_ms, chips_ms=chips_ms)

    def _duration_ms(self, step: EnergyStep, mpix: float) -> int:
        """Time on one core: joules over watts."""
        return round(1000 * self._prices.step_j(step, mpix) / self._setup.scenario.power.core_w)
