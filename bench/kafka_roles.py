#!/usr/bin/env python3
"""What a fleet of separate processes costs on a real broker on this machine, and how fast it is: prints JSON.

    bench/kafka_roles.py build/laneway [--tasks 200000]

memory_mib       of each kind of role, once it is up: its own (nobody else has these pages), and resident (with the libraries' pages, which all
                 processes of the host share)
first_task_s     from the start of a worker's process to the first task it starts (p50 and the longest)
over_http        no-op tasks a second, asked for over HTTP in jobs of 1,000: 2 dispatchers, 2 reapers, an API, 2 workers
fold             records a second that a member which starts anew folds from the topics
idle_cpu         cores, of each kind of role, when there is nothing to do
broker_gone_cpu  cores, of each kind of role, when there is no broker
"""
import argparse
import json
import os
import re
import statistics
import sys
import time
import urllib.request

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests/e2e"))
import fleet as e2e  # noqa: E402
import kafka_fleet  # noqa: E402
from kafka_fleet import Cluster  # noqa: E402

TASKS_A_JOB = 1000
WORKERS_STARTED = 8
IDLE_SECONDS = 10


def memory_mib(role, *kinds):
    with open("/proc/%d/smaps_rollup" % role.process.pid) as rollup:
        text = rollup.read()
    return sum(int(re.search(r"^%s:\s+(\d+)" % kind, text, re.M).group(1)) for kind in kinds) / 1024


def by_kind(fleet, of):
    """The most that a role of each kind has."""
    kinds = {}
    for role in fleet.roles.values():
        if role.running():
            kinds[role.kind] = max(kinds.get(role.kind, 0), of(role))
    return {kind: round(value, 3) for kind, value in kinds.items()}


def cores(fleet, seconds=IDLE_SECONDS):
    before = {role.name: role.cpu_seconds() for role in fleet.roles.values() if role.running()}
    time.sleep(seconds)  # what is measured
    return by_kind(fleet, lambda role: (role.cpu_seconds() - before[role.name]) / seconds)


def first_tasks(fleet):
    took = []
    for n in range(WORKERS_STARTED):
        name = "x%d" % n
        fleet.add(name, "worker", flags=["--set", 'worker.labels=["%s"]' % name])
        begun = time.monotonic()
        fleet.start(name)
        fleet.wait_runs(fleet.start_job(1, labels=[name]) + "/1")
        took.append(time.monotonic() - begun)
        fleet[name].stop()
        del fleet.roles[name]
    return {"p50": round(statistics.median(took), 2), "longest": round(max(took), 2)}


def over_http(fleet, tasks):
    before = sum(role.cpu_seconds() for role in fleet.roles.values())
    begun = time.monotonic()
    for _ in range(tasks // TASKS_A_JOB):
        fleet.next += 1  # a key that was used before would start nothing
        body = {"name": "bench", "idempotency_key": "bench-%d" % fleet.next, "data_sources": ["s"] * TASKS_A_JOB, "handler": "noop"}
        fleet.http("/start_job", body, patience=120)
    asked = time.monotonic() - begun
    fleet.wait_ended(600)
    seconds = time.monotonic() - begun
    cpu = sum(role.cpu_seconds() for role in fleet.roles.values()) - before
    return {"tasks": tasks, "asked_for_in_s": round(asked, 2), "seconds": round(seconds, 2), "per_second": round(tasks / seconds),
            "cpu_us_each": round(cpu / tasks * 1e6, 1)}


def fold_anew(fleet):
    ends = fleet.cluster.tool("org.apache.kafka.tools.GetOffsetShell", "--bootstrap-server", "{bootstrap}", "--topic", fleet.prefix + "events")
    records = sum(int(line.rsplit(":", 1)[1]) for line in ends.split("\n") if line.count(":") == 2)
    port = fleet.port("anew")
    role = fleet.add("r9", "reaper", flags=["--set", "metrics.listen=127.0.0.1:%d" % port])

    def lag():
        try:
            with urllib.request.urlopen("http://127.0.0.1:%d/metrics" % port, timeout=2) as answer:
                found = re.search(rb"^laneway_fold_lag_records(?:\{.*\})? (\S+)", answer.read(), re.M)
                return float(found.group(1)) if found else None
        except OSError:
            return None

    begun = time.monotonic()
    role.start()
    e2e.wait_for(lambda: role.started() and lag() == 0, 300, "the fold at the end of the topics", step=0.02)
    seconds = time.monotonic() - begun
    return {"records": records, "seconds_with_start": round(seconds, 2), "per_second": round(records / seconds),
            "cpu_us_each": round(role.cpu_seconds() / records * 1e6, 2)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("binary")
    parser.add_argument("--tasks", type=int, default=200000)
    given = parser.parse_args()
    figures = {}
    failures = e2e.Failures()
    with Cluster(lasting=True, memory="1g") as cluster:
        fleet = kafka_fleet.KafkaFleet(cluster, settings=["worker.capacity=256"])
        with fleet.watched(failures):
            fleet.ensure_topics()
            fleet.add_all(workers=2, dispatchers=2, reapers=2)
            fleet.start()
            fleet.wait_runs(fleet.start_job(1) + "/1")
            figures["memory_mib"] = {"own": by_kind(fleet, lambda role: memory_mib(role, "Private_Clean", "Private_Dirty")),
                                     "resident": by_kind(fleet, lambda role: memory_mib(role, "Rss"))}
            figures["idle_cpu"] = cores(fleet)
            figures["first_task_s"] = first_tasks(fleet)
            over_http(fleet, 20 * TASKS_A_JOB)  # warms up
            figures["over_http"] = over_http(fleet, given.tasks)
            figures["fold"] = fold_anew(fleet)
            cluster.kill(1)
            cores(fleet, 5)
            figures["broker_gone_cpu"] = cores(fleet)
            cluster.start(1)
    print(json.dumps(figures, indent=1))
    return 1 if failures.count else 0


if __name__ == "__main__":
    sys.exit(main())
