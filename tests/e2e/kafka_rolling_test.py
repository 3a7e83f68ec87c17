"""What is done to a fleet on purpose, under load: no script may run twice for it.

Every process is restarted in turn, as an update does, each worker while a script runs on it; then all but one worker are restarted, and killed,
again and again beside a long task, which is neither run again nor moved; then a worker is drained and taken away.
kafka_checker.py judges the rest.

    SEED=1 LONG=7200 kafka_rolling_test.py build/laneway
"""
import collections
import os
import random
import signal
import subprocess
import time

import fleet as e2e
import kafka_fleet
from kafka_fleet import Load, step

SEED = int(os.environ.get("SEED", str(random.randrange(1 << 32))))
LONG = float(os.environ.get("LONG", "20"))
LOAD = (60, 1000, 15)  # files, tasks, seconds
TIMEOUT = 5.0
CAPACITY = 2
PATIENCE = 120


def doubled(lines):
    """Scripts that were started more than once: task → how often."""
    return {task: count for task, count in collections.Counter(line[1] for line in lines if line[0] == "start").items() if count > 1}


def occupy(fleet, role, pause):
    """A script that works for a while on this worker."""
    fleet.wait_runs(fleet.start_job(pause=pause, labels=[role.name], priority=1) + "/1", 1, PATIENCE)


def stop(fleet, role, failures):
    if role.kind == "worker":
        occupy(fleet, role, 1.5)
    role.process.send_signal(signal.SIGTERM)
    if role.kind == "worker":
        e2e.wait_for(lambda: fleet.worker_state(role.name) in ("DRAINING", "GONE"), PATIENCE, "that %s stops is known" % role.name)
    code = role.process.wait(60)
    failures.check(code == 0, "%s ended with %s after SIGTERM" % (role.name, code))


def roll(fleet, rng, failures):
    with Load(fleet, rng, *LOAD):
        for role in list(fleet.roles.values()):
            stop(fleet, role, failures)
            fleet.start(role.name)
    fleet.wait_ended(PATIENCE)
    lines = fleet.witnessed()
    released = fleet.records().history.released
    step("rolling restart of %d processes: %d runs, doubled: %d; handed back: %s" %
         (len(fleet.roles), sum(line[0] == "start" for line in lines), len(doubled(lines)), dict(released)))
    failures.check(not doubled(lines), "during a rolling restart these ran twice: %s" % doubled(lines))


def beside_a_long_task(fleet, rng, failures):
    job = fleet.start_job(1, pause=LONG)
    keeper = fleet.wait_runs(job + "/1")[3]
    end = time.monotonic() + LONG
    others = [role for role in fleet.roles.values() if role.name != keeper]
    done = collections.Counter()
    while time.monotonic() < end:
        fleet.start_job(3, pause=0.2)
        role = others[sum(done.values()) % len(others)]
        how = rng.choice(["stopped", "killed"])
        role.stop() if how == "stopped" else role.kill()
        done[how] += 1
        fleet.start(role.name)
    fleet.wait_ended(PATIENCE)
    lines = [line[:4] for line in fleet.witnessed() if line[1] == job + "/1"]
    step("a task of %g s on %s, beside it %s: %s" % (LONG, keeper, dict(done), lines))
    failures.check(lines == [[what, job + "/1", "1", keeper] for what in ("start", "end")], "a long task was run so: %s" % lines)
    failures.check(not fleet.called_silent(), "these were called lost: %s" % fleet.called_silent())


def scale_in(fleet, rng, failures):
    before, leaver = len(fleet.witnessed()), fleet["w1"]
    with Load(fleet, rng, *LOAD):
        occupy(fleet, leaver, 1)
        fleet.start_job(1000)  # short ones are given in advance: it has a queue
        words = [e2e.BINARY, "worker", "drain", leaver.name, "--wait", "--yes", "--reason", "replaced", "--api",
                 "http://127.0.0.1:%d" % fleet.port("a1")]
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=leaver.environment(), timeout=PATIENCE)
        failures.check(done.returncode == 0, "worker drain --wait: %s" % done.stdout)
        drained = fleet.witnessed()
        its = collections.Counter(line[0] for line in drained[before:] if line[3] == leaver.name)
        failures.check(its["start"] == its["end"], "%s is drained and still runs %d" % (leaver.name, its["start"] - its["end"]))
        fleet.wait_runs(fleet.start_job(20) + "/20", 1, PATIENCE)
        code = leaver.stop()
        failures.check(code == 0, "%s ended with %s after SIGTERM" % (leaver.name, code))
    fleet.wait_ended(PATIENCE)
    lines = fleet.witnessed()
    late = [line for line in lines[len(drained):] if line[3] == leaver.name]
    failures.check(not late, "%s was drained and ran %s" % (leaver.name, late[:3]))
    step("scale-in: %d runs, doubled: %d; handed back so far: %s" %
         (sum(line[0] == "start" for line in lines[before:]), len(doubled(lines[before:])), dict(fleet.records().history.released)))
    failures.check(not doubled(lines[before:]), "when a worker was taken away these ran twice: %s" % doubled(lines[before:]))


def main():
    print("SEED=%d LONG=%g" % (SEED, LONG), flush=True)
    rng, failures = random.Random(SEED), e2e.Failures()
    fleet = kafka_fleet.KafkaFleet(settings=["health.heartbeat_interval=500ms", "health.heartbeat_timeout=%dms" % (TIMEOUT * 1000),
                                             "worker.capacity=%d" % CAPACITY, "job.max_losses=1000", 'log.kafka=["session.timeout.ms=2000"]'])
    with fleet.watched(failures):
        fleet.ensure_topics()
        fleet.add_all(workers=0, dispatchers=2, reapers=2, apis=2)
        for name in ("w1", "w2", "w3"):
            fleet.add(name, "worker", flags=["--set", 'worker.labels=["%s"]' % name])
        fleet.start()
        step("started")
        for part in (roll, beside_a_long_task, scale_in):
            part(fleet, rng, failures)
        print(fleet.judge(failures), flush=True)
    failures.end()


if __name__ == "__main__":
    main()
