"""A fleet over time: queue, leases, reaper and autoscaler, and the one thread of Redis that they all share.

Time goes in steps of a second. Within a step work is a flow of images; what comes in pieces (kills, leases that
run out, replicas that start) is counted. A worker that dies costs half of each chunk in its hands, which another
does again once the lease has run out. Everything random comes from one seed.
"""

import math
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Costs:
    """What Redis' thread pays, in microseconds; measured by `bench.simulation.measure` and `long_calls`."""

    chunk_submitted: float = 350.0
    chunk_worked_off: float = 900.0
    #: Per refill and live worker: it adds up the slots of all of them, after each chunk and at each look.
    refill_per_worker: float = 0.8
    #: Per second and live worker: heartbeat, looks for lost work, Celery's own polling.
    worker_second: float = 750.0


@dataclass(frozen=True)
class Plan:
    """What is simulated."""

    images: int
    #: Images per second of one worker that never waits for Redis.
    rate: float
    workers: int = 1000
    chunk: int = 32
    slots: int = 3
    lease_s: float = 12.0
    reap_s: float = 2.0
    #: Mean seconds between two deaths of one worker; spot machines die every few hours.
    between_deaths_s: float = 4 * 3600.0
    #: From the autoscaler's wish to a worker that is ready.
    start_s: float = 120.0
    #: A worker is wanted for so many seconds of backlog; None has all workers from the start.
    target_s: float | None = 300.0
    look_s: float = 15.0
    costs: Costs = field(default_factory=Costs)
    seed: int = 1


@dataclass
class Outcome:
    """What came of it."""

    #: Images that are still to be done at the end: of a fleet that does not get there, most of them.
    left: float
    seconds: float
    ideal_s: float
    images: int
    redone_images: float
    expired_leases: int
    deaths: int
    peak_workers: int
    worker_seconds: float
    redis_busiest: float
    redis_mean: float
    #: Every minute: seconds, workers, images per second, Redis' load.
    course: list[tuple[float, int, float, float]]

    @property
    def efficiency(self) -> float:
        """Of the work that the paid workers could have done, the share that counts."""
        done = 1 - self.left / self.images
        return done * self.ideal_s / self.worker_seconds if self.worker_seconds else 0.0


def redis_load(plan: Plan, workers: int, images_per_second: float) -> float:
    """The share of Redis' thread that this needs while as much is submitted; above 1 it cannot be had."""
    costs, chunks = plan.costs, images_per_second / plan.chunk
    refill = costs.refill_per_worker * workers
    per_chunk = costs.chunk_submitted + costs.chunk_worked_off + refill
    return (chunks * per_chunk + workers * (costs.worker_second + refill / plan.reap_s)) / 1e6


def most_images_per_second(plan: Plan, workers: int) -> float:
    """What workers and Redis together can do."""
    alone, idle = workers * plan.rate, redis_load(plan, workers, 0)
    if idle >= 1:
        return 0.0
    per_image = redis_load(plan, workers, 1.0) - idle
    return min(alone, (1 - idle) / per_image) if per_image else alone


def simulate(plan: Plan) -> Outcome:
    """The whole job, or as far as three times its ideal time goes."""
    dice = np.random.default_rng(plan.seed)
    left, away = float(plan.images), 0.0
    running = plan.workers if plan.target_s is None else 0
    arriving: dict[int, int] = defaultdict(int)
    coming_back: dict[int, float] = defaultdict(float)
    starting = expired = deaths = peak = 0
    redone = paid = busy = busiest = 0.0
    course: list[tuple[float, int, float, float]] = []
    limit = int(3 * plan.images / (plan.rate * plan.workers) + 6 * 3600)
    for second in range(limit):
        starting -= arriving[second]
        running += arriving.pop(second)
        back = coming_back.pop(second, 0.0)
        left, away = left + back, away - back
        if left + away < 1:
            break
        if plan.target_s is not None and second % plan.look_s == 0:
            wanted = min(plan.workers, math.ceil((left + away) / plan.rate / plan.target_s))
            if wanted > running + starting:
                arriving[second + int(plan.start_s)] += wanted - running - starting
                starting = wanted - running
            elif wanted < running:
                running = wanted  # drained: what they hold is handed back at once
        flow = min(left, most_images_per_second(plan, running))
        left -= flow
        load = min(1.0, redis_load(plan, running, flow))
        killed = min(running, int(dice.poisson(running / plan.between_deaths_s)))
        if killed:
            if flow:
                undone = killed * plan.slots * plan.chunk / 2  # the half of the chunks that was through, for nothing
                held = min(undone, left)
                left, away, redone = left - held, away + undone + held, redone + undone
                coming_back[second + math.ceil(plan.lease_s + plan.reap_s / 2)] += undone + held
                expired += killed * plan.slots
            running, deaths = running - killed, deaths + killed
            arriving[second + int(plan.start_s)] += killed
            starting += killed
        peak, paid = max(peak, running), paid + running
        busy, busiest = busy + load, max(busiest, load)
        if second % 60 == 0:
            course.append((second, running, flow, load))
    return Outcome(
        left=left + away if left + away >= 1 else 0.0,
        seconds=second,
        ideal_s=plan.images / plan.rate,
        images=plan.images,
        redone_images=redone,
        expired_leases=expired,
        deaths=deaths,
        peak_workers=peak,
        worker_seconds=paid,
        redis_busiest=busiest,
        redis_mean=busy / max(second, 1),
        course=course,
    )
