"""The simulation: what must come out of it by arithmetic, and that it tells."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench.simulation.model import Costs, Plan, most_images_per_second, redis_load, simulate

FREE = Costs(0, 0, 0, 0)
CALM = Plan(images=1_000_000, rate=10, workers=100, between_deaths_s=1e12, target_s=None, costs=FREE)


def test_without_limits_and_deaths_the_workers_are_the_limit() -> None:
    """A million images by a hundred workers of ten images per second take a thousand seconds."""
    outcome = simulate(CALM)
    assert outcome.seconds == 1000
    assert (outcome.deaths, outcome.redone_images, outcome.efficiency) == (0, 0, 1.0)


def test_deaths_cost_the_half_done_chunks_and_nothing_else() -> None:
    """Every image is done; what is done twice is half of what the dead had in hand."""
    plan = replace(CALM, between_deaths_s=2000.0, start_s=30)
    outcome = simulate(plan)
    assert outcome.deaths > 10
    assert outcome.redone_images == pytest.approx(outcome.deaths * plan.slots * plan.chunk / 2, rel=0.1)
    assert outcome.expired_leases == pytest.approx(outcome.deaths * plan.slots, rel=0.1)
    paid_images = outcome.worker_seconds * plan.rate
    assert plan.images + outcome.redone_images <= paid_images + plan.workers * plan.rate * 20


def test_redis_caps_the_fleet_where_its_thread_is_full() -> None:
    """With a millisecond per chunk of ten images it is ten thousand images a second, whatever the fleet."""
    plan = replace(CALM, chunk=10, rate=1000, costs=Costs(0, 1000, 0, 0))
    assert most_images_per_second(plan, 5) == 5000
    assert most_images_per_second(plan, 100) == most_images_per_second(plan, 50) == 10_000
    assert redis_load(plan, 100, 10_000) == pytest.approx(1)
    assert simulate(plan).seconds == 100


def test_a_fleet_whose_signs_of_life_fill_redis_does_nothing() -> None:
    """Two milliseconds per worker and second are all there is for five hundred workers."""
    plan = replace(CALM, costs=Costs(worker_second=2000))
    assert most_images_per_second(plan, 500) == 0
    assert most_images_per_second(plan, 100) == 1000
    stuck = simulate(replace(plan, workers=500))
    assert (stuck.left, stuck.efficiency) == (plan.images, 0)


def test_the_autoscaler_asks_for_as_many_as_the_backlog_needs() -> None:
    """Six workers end this backlog in the time aimed at; the wish for more than there may be is capped."""
    plan = replace(CALM, images=18_000, target_s=300.0, start_s=60)
    assert simulate(plan).peak_workers == 6
    assert simulate(replace(plan, images=10_000_000)).peak_workers == 100


def test_the_same_seed_tells_the_same_story() -> None:
    """So that two designs can be compared under the same deaths."""
    plan = replace(CALM, between_deaths_s=2000.0)
    assert simulate(plan) == simulate(plan)
    assert simulate(plan) != simulate(replace(plan, seed=2))


def test_the_program_prints_where_the_design_bends() -> None:
    """Two settings, fleets and speeds, and the story of a hundred million images, within seconds."""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "bench.simulate"], cwd=root, capture_output=True, text=True, check=True, timeout=60
    )
    assert "for a large fleet: chunks of 256" in done.stdout
    assert "One job of 100,000,000 images, up to 1,000 workers" in done.stdout
    assert done.stdout.count("leases run out") == 2
