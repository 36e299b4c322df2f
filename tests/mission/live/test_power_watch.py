"""Power readings in a thread of their own: whoever asks never waits, whatever a sensor does."""

import threading

from mission.live.power_watch import SILENCE_LIMIT_S, PowerWatch
from onboard.eps_reading import EpsReading
from onboard.errors import EnergyError

PATIENCE_S = 20.0


class Sensor:
    """A bus that answers, fails, or hangs."""

    def __init__(self):
        self.answers = threading.Event()
        self.asked = threading.Semaphore(0)
        self.charge_fraction, self.error = 0.25, ""
        self.answers.set()

    def read(self):
        self.asked.release()
        assert self.answers.wait(PATIENCE_S)
        if self.error:
            raise EnergyError(self.error)
        return EpsReading(charge_fraction=self.charge_fraction)


def test_the_last_answer_stands_until_the_next():
    sensor = Sensor()
    watch = PowerWatch(sensor.read)
    assert watch.now() == (EpsReading(), "")
    watch.look()
    assert watch.now() == (EpsReading(charge_fraction=0.25), "")
    sensor.error = "power file x cannot be read"
    watch.look()
    assert watch.now() == (EpsReading(), "power file x cannot be read")


def test_a_bus_that_hangs_keeps_nobody_waiting_and_is_told_of():
    sensor, now_s = Sensor(), [100.0]
    watch = PowerWatch(sensor.read, every_s=0.0, clock_s=lambda: now_s[0])
    watch.look()
    sensor.answers.clear()
    while sensor.asked.acquire(blocking=False):
        pass
    watch.start()
    try:
        assert sensor.asked.acquire(timeout=PATIENCE_S)  # it has asked, and gets no answer
        assert watch.now() == (EpsReading(charge_fraction=0.25), "")
        now_s[0] += SILENCE_LIMIT_S + 1
        reading, problem = watch.now()
        assert reading == EpsReading() and "not answered for 6 s" in problem
        sensor.charge_fraction = 0.5
        sensor.answers.set()
        for _ in range(2):  # the one that hung, and one more
            assert sensor.asked.acquire(timeout=PATIENCE_S)
        assert watch.now() == (EpsReading(charge_fraction=0.5), "")
    finally:
        sensor.answers.set()
        watch.close()
