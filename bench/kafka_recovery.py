#!/usr/bin/env python3
"""How soon work goes on after a loss, on a real broker on this machine: prints JSON, seconds.

    bench/kafka_recovery.py build/laneway [--kills 50] [--freezes 5] [--takeovers 5]

kill      kill -9 of a worker whose script runs, until the task's next attempt has started on another worker (default settings)
freeze    SIGSTOP of a worker and its companion, the same, with a heartbeat timeout of 2 s: nobody tells last words
takeover  kill -9 of the active dispatcher, until a task submitted at that moment has started (default settings, and tuned)
"""
import argparse
import json
import math
import os
import sys
import time

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests/e2e"))
import fleet as e2e  # noqa: E402
import kafka_fleet  # noqa: E402
from kafka_fleet import Cluster  # noqa: E402

FREEZE_TIMEOUT = 2.0
LONG = 60  # seconds that a script would take; it is stopped or cancelled long before


def summary(seconds):
    ordered = sorted(seconds)
    at = lambda p: round(ordered[max(0, math.ceil(p * len(ordered)) - 1)], 3)
    return {"count": len(ordered), "p50": at(.5), "p99": at(.99), "max": at(1)} if ordered else {"count": 0}


def started_again(fleet, task, runs, begun):
    fleet.wait_runs(task, runs, 60)
    return time.monotonic() - begun


def restart(role):
    role.start()
    role.wait_started(30)


def all_up(fleet):
    workers = fleet.http("/api/v1/workers")["workers"]
    return len(workers) == len(fleet.of_kind("worker")) and all(worker["state"] == "UP" for worker in workers)


def one_loss(fleet, lose, back):
    e2e.wait_for(lambda: all_up(fleet), 60, "all workers up")
    job = fleet.start_job(1, pause=LONG)
    victim = fleet[fleet.wait_runs(job + "/1")[3]]
    begun = time.monotonic()
    lose(victim)
    took = started_again(fleet, job + "/1", 2, begun)
    fleet.http("/api/v1/jobs/%s/cancel" % job, {"reason": "measured"})
    back(victim)
    return took


def losses(cluster, count, lose, back, *settings):
    fleet = kafka_fleet.KafkaFleet(cluster, settings=[*settings, "job.max_losses=1000", "worker.kill_grace=100ms"])
    fleet.ensure_topics()
    fleet.add_all(workers=2)
    fleet.start()
    took = [one_loss(fleet, lose, back) for _ in range(count)]
    fleet.end(e2e.Failures())
    return summary(took)


def takeovers(cluster, count, *settings):
    fleet = kafka_fleet.KafkaFleet(cluster, settings=list(settings))
    fleet.ensure_topics()
    fleet.add_all(workers=1, dispatchers=2)
    fleet.start()
    took = []
    for _ in range(count):
        fleet.active_dispatcher()
        fleet.start_job(1)
        fleet.wait_ended(60)
        victim = fleet.active_dispatcher()
        begun = time.monotonic()
        victim.kill()
        took.append(started_again(fleet, fleet.start_job(1) + "/1", 1, begun))
        fleet.start(victim.name)
        time.sleep(2)  # it has joined the group: what is measured is a standby that was there
    fleet.end(e2e.Failures())
    return summary(took)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("binary")
    for name, count in (("kills", 50), ("freezes", 5), ("takeovers", 5)):
        parser.add_argument("--" + name, type=int, default=count)
    given = parser.parse_args()
    freezing = ["health.heartbeat_interval=500ms", "health.heartbeat_timeout=%dms" % (1000 * FREEZE_TIMEOUT)]
    with Cluster() as cluster:
        kill = losses(cluster, given.kills, lambda role: role.kill(), restart)
        freeze = losses(cluster, given.freezes, lambda role: role.pause(companion=True), lambda role: role.resume(), *freezing)
        default = takeovers(cluster, given.takeovers)
        tuned = takeovers(cluster, given.takeovers, 'log.kafka=["session.timeout.ms=2000","heartbeat.interval.ms=300"]')
    print(json.dumps({"kill": kill, "freeze_timeout": FREEZE_TIMEOUT, "freeze": freeze, "takeover": default, "takeover_tuned": tuned},
                     indent=1))


if __name__ == "__main__":
    main()
