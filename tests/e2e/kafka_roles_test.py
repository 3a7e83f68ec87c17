"""A fleet of processes on a real broker, whose roles are restarted, frozen and killed at random moments, under load of files and of jobs over HTTP.

In this order, on one fleet: a rolling restart of every role (no task may run twice); each kind of role frozen for longer than the heartbeat
timeout (nobody else may be called lost; a standby takes over); kill -9 of any role again and again. Then kafka_checker.py judges: nothing lost,
nothing accepted twice, no attempt run twice, every file where its record says, every lane owned.

    SEED=1 KILLS=1000 TASKS=50000 FILES=5000 SECONDS=1800 FREEZE=60 kafka_roles_test.py build/laneway
"""
import collections
import os
import random
import shutil
import time
import traceback

import fleet as e2e
import kafka_fleet
from kafka_fleet import Load, step

SEED = int(os.environ.get("SEED", str(random.randrange(1 << 32))))
KILLS = int(os.environ.get("KILLS", "16" if e2e.FAST else "60"))
FILES = int(os.environ.get("FILES", "100" if e2e.FAST else "600"))
TASKS = int(os.environ.get("TASKS", "400" if e2e.FAST else "3000"))
SECONDS = float(os.environ.get("SECONDS", "8" if e2e.FAST else "40"))  # of the kills
FREEZE = float(os.environ.get("FREEZE", "4" if e2e.FAST else "10"))
DISPATCHERS = int(os.environ.get("DISPATCHERS", "2"))
TIMEOUT = 3.0
PATIENCE = 120  # for one answer, and for the end


def roll(fleet, failures):
    """Each process once, one after the other, as an update does. A worker lets what it runs end."""
    for role in list(fleet.roles.values()):
        code = role.stop(60)
        failures.check(code == 0, "%s ended with %s after SIGTERM" % (role.name, code))
        fleet.start(role.name)


def freeze(fleet, failures):
    before = fleet.called_silent()
    first = fleet.active_dispatcher()
    frozen = (first, fleet["r1"])
    for role in frozen:
        role.pause()
    begun = time.monotonic()
    second = fleet.active_dispatcher()
    step("a standby took over after %.1f s" % (time.monotonic() - begun))
    failures.check(second is not first, "the frozen dispatcher is active")
    fleet.drop()
    fleet.wait_ended(PATIENCE)
    time.sleep(max(0, begun + FREEZE - time.monotonic()))  # longer than the timeout: that is the case
    for role in frozen:
        role.resume()
    fleet.drop()
    fleet.wait_ended(PATIENCE)
    called = fleet.called_silent(before)
    failures.check(not called, "with a frozen dispatcher and a frozen reaper these were called lost: %s" % called)
    step("the active dispatcher and a reaper were frozen")
    job = fleet.start_job(4 * len(fleet.of_kind("worker")), pause=FREEZE / 2)
    fleet.wait_runs(job + "/1")
    fleet["w1"].pause(companion=True)
    time.sleep(FREEZE)
    fleet["w1"].resume()
    fleet.wait_ended(PATIENCE)
    called = fleet.called_silent(before)
    failures.check({verdict[:2] for verdict in called} == {("w1", "silent")}, "with w1 frozen these were called lost: %s" % called)


def says_why_it_waits(fleet, failures):
    """The API is a process of its own: it has no placement, and answers from what it has folded."""
    body = {"name": "nobody can", "labels": ["mainframe"], "exec": ["/bin/true"]}
    job = fleet.http("/start_job", body)["job_id"]
    why = e2e.wait_for(lambda: fleet.http("/api/v1/jobs/" + job)["task_list"][0]["waits_for"], PATIENCE, "the reason")
    failures.check(why == "no worker has the label mainframe", "a job that no worker can take waits for %r" % why)
    fleet.http("/api/v1/jobs/%s/cancel" % job, {"reason": "seen"})
    fleet.cancelled.add(job)


def storm(fleet, rng, failures):
    """Kills any process at any moment, also while it starts; each comes back after a while."""
    begun, away = time.monotonic(), {}
    for kill in range(KILLS):
        due = begun + (kill + rng.random()) * SECONDS / KILLS
        running = []
        while time.monotonic() < due or not running:  # none: on a busy machine several kills come at once
            bring_back(fleet, away)
            time.sleep(0.01)  # until the moment of the next kill
            running = [role for role in fleet.roles.values() if role.running()]
        role = rng.choice(running)
        if rng.random() < 0.2:
            for pid in role.companions():
                os.kill(pid, 9)
        role.kill()
        away[role.name] = time.monotonic() + rng.random() * 2 * SECONDS / KILLS
    while away:
        bring_back(fleet, away)
        time.sleep(0.01)
    for role in fleet.roles.values():
        role.wait_started(60)
        failures.check(role.running(), "%s ended by itself with %s:\n%s" %
                       (role.name, role.process.poll(), role.messages(since_start=True)[-1500:]))


def bring_back(fleet, away):
    for name, due in list(away.items()):
        if time.monotonic() >= due:
            fleet.start(name, wait=False)
            del away[name]


def checker_sees(fleet, records, failures):
    """The checker itself: a witness of a second run, a run without a record, a record without its end, a file that changed, one that is gone."""
    witness, zone = fleet.witness + ".false", fleet.zone + ".false"
    with open(fleet.witness) as f:
        lines = f.read().splitlines(keepends=True)
    first = next(line for line in lines if line.startswith("start"))
    task = first.split(" ")[1]
    shutil.copytree(fleet.zone, zone)
    files = sorted(os.listdir(os.path.join(zone, "completed")))
    with open(os.path.join(zone, "completed", files[0]), "a") as f:
        f.write("changed")
    os.rename(os.path.join(zone, "completed", files[1]), os.path.join(zone, "failed", files[1]))
    os.unlink(os.path.join(zone, "completed", files[2]))
    kept = [line for line in lines if not line.startswith("end " + task)] + [first, first.replace(task, task[:-1] + "999")]
    with open(witness, "w") as f:
        f.writelines(kept)
    findings, _ = records.judge(zone, witness, {fleet.names[i]: fleet.sums[i] for i in fleet.sums}, dict(fleet.jobs, NOBODY=1), ["w1", "w9"])
    for wanted in ("was run 2 times", "of which no record tells", "its script ended 0 times", files[0] + " has changed", files[1] + " is at failed",
                   files[2] + " is in 0 places", "job NOBODY was accepted", "w9 has no lane", "is owned by w2"):
        failures.check(any(wanted in finding for finding in findings), "the checker does not see: " + wanted)


def main():
    print("SEED=%d KILLS=%d FILES=%d TASKS=%d SECONDS=%g FREEZE=%g" % (SEED, KILLS, FILES, TASKS, SECONDS, FREEZE), flush=True)
    rng, failures = random.Random(SEED), e2e.Failures()
    fleet = kafka_fleet.KafkaFleet(settings=["health.heartbeat_interval=500ms", "health.heartbeat_timeout=%dms" % (TIMEOUT * 1000),
                                             "worker.capacity=2", "job.max_losses=1000",
                                             'log.kafka=["session.timeout.ms=2000"]'])
    try:
        fleet.ensure_topics()
        fleet.add_all(workers=3 if not e2e.FAST else 2, dispatchers=DISPATCHERS, reapers=2, apis=1)
        fleet.start()
        step("started")
        says_why_it_waits(fleet, failures)
        files, tasks = min(FILES // 3, 200), min(TASKS // 3, 1000)  # as many as its few seconds bear; the storm has the rest
        with Load(fleet, rng, files, tasks, 4 if e2e.FAST else 12):
            roll(fleet, failures)
        fleet.wait_ended(PATIENCE)
        runs = collections.Counter(line[1] for line in fleet.witnessed() if line[0] == "start")
        again = [task for task, count in runs.items() if count != 1]
        failures.check(not again, "during a rolling restart these ran twice: %s" % again[:5])
        step("rolling restart: %d runs" % len(runs))
        freeze(fleet, failures)
        step("a worker was frozen")
        with Load(fleet, rng, FILES - files, TASKS - tasks, SECONDS):
            storm(fleet, rng, failures)
        fleet.wait_ended(PATIENCE)
        step("%d kills" % KILLS)
        records = fleet.records()
        print(fleet.judge(failures, records), flush=True)
        checker_sees(fleet, records, failures)
    except Exception as error:  # what the processes said is worth seeing
        failures.check(False, "%s: %s" % (type(error).__name__, error))
        traceback.print_exc()
        if fleet.jobs or fleet.sums:
            print(fleet.judge(failures), flush=True)
    fleet.end(failures)
    step("judged")
    failures.end()


if __name__ == "__main__":
    main()
