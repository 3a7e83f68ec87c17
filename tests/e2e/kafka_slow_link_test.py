"""A worker at the end of a far and narrow link (slow_link.py), beside two that are near.

The same load with and without it: the near ones' tasks take as long as before; the far one is not called lost, runs nothing twice and does its
share, of what comes at its pace and of a backlog. kafka_checker.py judges the rest.

    DELAY=0.15 RATE=65536 kafka_slow_link_test.py build/laneway
"""
import collections
import os
import time

import fleet as e2e
import kafka_fleet
from kafka_fleet import Cluster, step
from slow_link import SlowLink

DELAY = float(os.environ.get("DELAY", "0.15"))  # seconds each way
RATE = float(os.environ.get("RATE", "65536"))  # bytes a second each way
SECONDS = 5 if e2e.FAST else 12  # of each load
TIMEOUT = 4.0
PATIENCE = 120
FAR = "w3"


def steady(fleet):
    """Less than the near ones can do."""
    jobs, begun = [], time.monotonic()
    while time.monotonic() < begun + SECONDS:
        jobs.append(fleet.start_job(4, pause=0.2))
        time.sleep(max(0, begun + len(jobs) * 0.3 - time.monotonic()))  # the pace is what is wanted
    fleet.wait_ended(PATIENCE)
    return jobs


def taken(history, jobs):
    """Of each worker's tasks, in seconds: assigned → started, assigned → succeeded, each sorted."""
    starts, ends = collections.defaultdict(list), collections.defaultdict(list)
    for job in jobs:
        for task in history.jobs[job].tasks.values():
            worker, times = task.started[task.winner], task.times
            starts[worker].append((times["started"] - times["assigned"]) / 1000)
            ends[worker].append((times["succeeded"] - times["assigned"]) / 1000)
    return {worker: (sorted(starts[worker]), sorted(ends[worker])) for worker in sorted(starts)}


def at(times, part):
    return times[min(len(times) - 1, int(part * len(times)))]


def tell(what, times):
    for worker, (starts, ends) in times.items():
        step("%s: %s ran %d; to the start p50 %.3f s, p90 %.3f s; to the end p50 %.3f s, p90 %.3f s" %
             (what, worker, len(ends), at(starts, 0.5), at(starts, 0.9), at(ends, 0.5), at(ends, 0.9)))


def run(fleet, link, failures):
    fleet.start("d1", "r1", "r2", "a1", "w1", "w2")
    step("started")
    alone = steady(fleet)
    fleet.start(FAR)
    e2e.wait_for(lambda: fleet.worker_state(FAR) == "UP", PATIENCE, FAR + " is up")
    beside = steady(fleet)
    begun = time.monotonic()
    backlog = [fleet.start_job(SECONDS * 4, pause=2)]
    for _ in range(10):
        fleet.drop()
    fleet.wait_ended(PATIENCE)
    step("%d tasks of 2 s for 12 slots took %.1f s" % (SECONDS * 4, time.monotonic() - begun))
    history = fleet.records().history
    before, with_it, many = (taken(history, jobs) for jobs in (alone, beside, backlog))
    tell("two near ones alone", before)
    tell("beside a far one", with_it)
    tell("a backlog", many)
    step("over the link: %d bytes up, %d down" % (link.up.passed, link.down.passed))
    if not failures.check(FAR in with_it and FAR in many, "the far worker got nothing: %s" % (with_it.keys() | many.keys())):
        return
    failures.check(len(with_it[FAR][1]) >= SECONDS / 3, "of what came at its pace the far worker did only %d" % len(with_it[FAR][1]))
    failures.check(at(with_it[FAR][0], 0.5) >= 2 * DELAY, "the link is not slow: a start took %.3f s" % at(with_it[FAR][0], 0.5))
    for worker in ("w1", "w2"):
        for part in (0.5, 0.9):
            was, now = at(before[worker][1], part), at(with_it[worker][1], part)
            failures.check(now <= 1.5 * was + 0.1, "%s was slowed down: p%d was %.3f s, is %.3f s" % (worker, 100 * part, was, now))
    done = {worker: len(ends) for worker, (_, ends) in many.items()}
    # Its slots wait for the link after each task: some 1.5 s, so that it does less than a third.
    failures.check(done[FAR] >= sum(done.values()) / 6, "of a backlog the far worker did only %s" % done)
    failures.check(not fleet.called_silent(), "these were called lost: %s" % fleet.called_silent())
    runs = collections.Counter(line[1] for line in fleet.witnessed() if line[0] == "start")
    failures.check(max(runs.values()) == 1, "these ran twice: %s" % [task for task, count in runs.items() if count > 1][:5])
    print(fleet.judge(failures), flush=True)


def main():
    print("DELAY=%g RATE=%g" % (DELAY, RATE), flush=True)
    failures, link = e2e.Failures(), SlowLink(DELAY, RATE)
    with Cluster(detours=[link.port]) as cluster:
        link.target = ("127.0.0.1", cluster.ports[1][3])
        fleet = kafka_fleet.KafkaFleet(cluster, settings=["health.heartbeat_interval=500ms", "worker.capacity=4",
                                                          "health.heartbeat_timeout=%dms" % (TIMEOUT * 1000), "job.max_losses=1000"])
        with fleet.watched(failures):
            fleet.ensure_topics()
            fleet.add_all(workers=2, reapers=2)
            fleet.add(FAR, "worker", brokers="127.0.0.1:%d" % link.port)
            run(fleet, link, failures)
    failures.end()


if __name__ == "__main__":
    main()
