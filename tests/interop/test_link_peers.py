"""The comparison of bytes on the link: all ends run in virtual time and finish, and ours cost what the loss makes them cost."""

import math
import threading
import time

import pytest

from benchmarks.link_peers import ENTITIES, link_cost

FILE_BYTES = 100_000


@pytest.mark.parametrize("entity", ENTITIES)
def test_every_implementation_delivers_over_a_clean_link_for_its_headers_alone(entity):
    cost = link_cost(entity, 0.0, seeds=(1,), file_bytes=FILE_BYTES)
    assert (cost.delivered, cost.transfers, cost.ideal) == (1, 1, 1.0)
    assert 1.01 < cost.down_over_payload < 1.02
    travel_ms = 25 + FILE_BYTES * 8 / 4000 + 25  # out, the file's bits at 4 Mbit/s, and back
    assert travel_ms < cost.mean_ms < travel_ms + 60


def test_ours_delivers_every_time_for_little_more_than_the_ideal():
    for frame_loss in (0.1, 0.3):
        cost = link_cost("ours", frame_loss, seeds=range(6), file_bytes=FILE_BYTES)
        assert cost.delivered == 6
        # About 600 PDUs: the share lost scatters by a few per cent of itself.
        deviation = math.sqrt(frame_loss / (1 - frame_loss) / 600)
        assert cost.down_over_payload / cost.ideal == pytest.approx(1.016, abs=0.01 + 3 * deviation)


def test_the_same_seed_costs_the_same_and_leaves_nothing_behind():
    threads, clock = threading.active_count(), time.time()
    costs = [link_cost("LibreCube cfdp", 0.1, seeds=(2,), file_bytes=20_000) for _ in range(2)]
    assert costs[0] == costs[1]
    assert threading.active_count() == threads
    assert time.time() - clock < 60
