"""A fleet on a cluster of three brokers, under load: one broker is killed, one paused, all are lost for a while and come back.

No worker may be called lost for what the brokers did; what ran when they went is not run again; work goes on within ten seconds of their return;
kafka_checker.py judges the rest. And the ordinary tools show the lag of the lanes.

    SEED=1 WORKERS=50 OUTAGE=300 BROKER_KILLS=14 kafka_brokers_test.py build/laneway
"""
import os
import random
import re
import time

import fleet as e2e
import kafka_fleet
from kafka_fleet import Cluster, Load, step

SEED = int(os.environ.get("SEED", str(random.randrange(1 << 32))))
OUTAGE = float(os.environ.get("OUTAGE", "15"))  # of all brokers
BROKER_KILLS = int(os.environ.get("BROKER_KILLS", "1"))  # of one after the other; started again before the next
WORKERS = int(os.environ.get("WORKERS", "2"))  # in two processes
LOAD = (30, 100, 6) if e2e.FAST else (60, 300, 12)  # files, tasks, seconds
TIMEOUT = 5.0
BACK_WITHIN = 10.0
FAILOVER_WITHIN = 20.0  # of one broker: the cluster first has to notice, then the dispatchers' group moves
IDLE_PERCENT = 5.0  # of a core, each role, while there are no brokers
PATIENCE = 120


def works_again(fleet, failures, since, what, within=BACK_WITHIN):
    """A job that is started now ends within the time."""
    job = fleet.start_job(4, patience=PATIENCE, priority=1)  # before the backlog
    for n in range(1, 5):
        fleet.wait_runs("%s/%d" % (job, n), 1, PATIENCE)
    took = time.monotonic() - since
    step("%s: work went on after %.1f s" % (what, took))
    failures.check(took <= within, "%s: work went on only after %.1f s" % (what, took))


def one_broker(fleet, failures):
    for n in range(BROKER_KILLS):
        broker = 1 + n % 3
        begun = time.monotonic()
        fleet.cluster.kill(broker)
        works_again(fleet, failures, begun, "one broker was killed", FAILOVER_WITHIN)
        fleet.cluster.start(broker)
    begun = time.monotonic()
    fleet.cluster.pause(2)
    time.sleep(TIMEOUT + 1)  # longer than any worker's silence may be
    fleet.cluster.resume(2)
    works_again(fleet, failures, begun, "one broker was paused", FAILOVER_WITHIN)


def all_brokers(fleet, failures):
    workers = sum(len(role.workers) for role in fleet.of_kind("worker"))
    job = fleet.start_job(2 * workers, pause=2 + workers / 10)  # as many as run at once
    for n in range(1, 2 * workers + 1):
        fleet.wait_runs("%s/%d" % (job, n))
    for n in (1, 2, 3):
        fleet.cluster.kill(n)
    fleet.drop()
    settled = OUTAGE / 3  # questions that were under way have been given up
    time.sleep(settled)
    before = {role.name: role.cpu_seconds() for role in fleet.roles.values()}
    time.sleep(OUTAGE - settled)
    used = {role.name: 100 * (role.cpu_seconds() - before[role.name]) / (OUTAGE - settled) for role in fleet.roles.values()}
    step("processor time without brokers: " + ", ".join("%s %.1f %%" % one for one in used.items()))
    busy = {name: share for name, share in used.items() if share >= IDLE_PERCENT}
    failures.check(not busy, "without brokers these were busy, with %% of a core: %s" % busy)
    for n in (1, 2, 3):
        fleet.cluster.launch(n)
    for n in (1, 2, 3):
        fleet.cluster.wait_started(n)
    works_again(fleet, failures, time.monotonic(), "all brokers were lost for %g s" % OUTAGE)
    fleet.wait_ended(PATIENCE)
    runs = [line for line in fleet.witnessed() if line[0] == "start" and line[1].startswith(job)]
    failures.check(len(runs) == 2 * workers, "of %d tasks that ran when the brokers went there were %d runs" % (2 * workers, len(runs)))


def lag_is_shown(fleet, failures):
    """By the tools of Kafka: everything is finished, so there is none."""
    def lags():
        shown = fleet.cluster.tool("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "--bootstrap-server", "{bootstrap}",
                                   "--describe", "--group", fleet.prefix + "workers")
        found = re.findall(r"lanes +(\d+) +(\d+) +(\d+) +(\d+)", shown)  # partition, committed, end, lag
        return found if found and all(row[3] == "0" for row in found) else None
    try:
        e2e.wait_for(lags, 30, "a lag of 0")
    except TimeoutError as error:
        failures.check(False, "the group's offsets: %s" % error)


def main():
    print("SEED=%d WORKERS=%d OUTAGE=%g BROKER_KILLS=%d" % (SEED, WORKERS, OUTAGE, BROKER_KILLS), flush=True)
    rng, failures = random.Random(SEED), e2e.Failures()
    with Cluster(brokers=3, memory="320m") as cluster:
        fleet = kafka_fleet.KafkaFleet(cluster, settings=["health.heartbeat_interval=500ms", "health.heartbeat_timeout=%dms" % (TIMEOUT * 1000),
                                                          "worker.capacity=2", "job.max_losses=1000"])
        with fleet.watched(failures):
            fleet.ensure_topics()
            fleet.add_all(workers=0, dispatchers=2, reapers=2)
            for n in (1, 2):
                fleet.add("w%d" % n, "worker", members=WORKERS // 2)
            fleet.start()
            step("started")
            with Load(fleet, rng, *LOAD):
                one_broker(fleet, failures)
            fleet.wait_ended(PATIENCE)
            all_brokers(fleet, failures)
            lag_is_shown(fleet, failures)
            called = fleet.called_silent()
            failures.check(not called, "for what the brokers did these were called lost: %s" % called)
            print(fleet.judge(failures), flush=True)
    failures.end()


if __name__ == "__main__":
    main()
