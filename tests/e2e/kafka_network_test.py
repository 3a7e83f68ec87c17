"""A worker that is cut off from the broker, in both directions and in each one alone; and wall clocks that are an hour wrong.

In a network namespace of its own, the worker reaches the broker through a router (a namespace too) that can drop what goes either way. While it is
cut off its running script ends and keeps its result; its tasks go to the other worker after the heartbeat timeout and not before; nobody else is
called lost; when the way is open again it takes part again. kafka_checker.py judges the rest. Then every role runs under a clock of its own.
"""
import ctypes
import datetime
import os
import subprocess
import sys
import time

import fleet as e2e
import kafka_fleet
from kafka_fleet import Cluster, die_with_parent, step

TIMEOUT = 4.0
PATIENCE = 60
BROKER, WORKER = "10.77.0.1", "10.77.1.1"
SETTINGS = ["health.heartbeat_interval=500ms", "health.heartbeat_timeout=%dms" % (TIMEOUT * 1000), "job.max_losses=1000"]
CLONE_NEWNET = 0x40000000


def own_namespace():
    """The rest of this test has a network of its own."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        print("skipped: no network namespace can be made: " + os.strerror(ctypes.get_errno()))
        sys.exit(e2e.SKIPPED)
    ip("link", "set", "lo", "up")


def ip(*words, inside=None):
    entered = ["nsenter", "-t", str(inside), "-n"] if inside else []
    subprocess.run([*entered, "ip", *words], check=True)


class Network:
    """Here – router – worker. What goes `up` (from the worker) or `down` (to it) can be dropped."""

    def __init__(self):
        self.holders = [subprocess.Popen(["unshare", "-n", "sleep", "infinity"], preexec_fn=die_with_parent) for _ in range(2)]
        self.router, self.worker = (holder.pid for holder in self.holders)
        mine = os.readlink("/proc/self/ns/net")
        for holder in self.holders:
            e2e.wait_for(lambda pid=holder.pid: os.readlink("/proc/%d/ns/net" % pid) != mine, 10, "a namespace")
        ip("link", "add", "m0", "type", "veth", "peer", "name", "r0", "netns", str(self.router))
        ip("link", "add", "w0", "netns", str(self.worker), "type", "veth", "peer", "name", "r1", "netns", str(self.router))
        for inside, device, address in ((None, "m0", BROKER), (self.router, "r0", "10.77.0.2"), (self.router, "r1", "10.77.1.2"),
                                        (self.worker, "w0", WORKER)):
            ip("addr", "add", address + "/24", "dev", device, inside=inside)
            ip("link", "set", device, "up", inside=inside)
            if inside:
                ip("link", "set", "lo", "up", inside=inside)
        subprocess.run(["nsenter", "-t", str(self.router), "-n", "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"], check=True)
        ip("route", "add", "10.77.1.0/24", "via", "10.77.0.2")
        ip("route", "add", "default", "via", "10.77.1.2", inside=self.worker)

    def drop(self, *ways):
        for way in ways:
            ip("route", "add", "blackhole", (BROKER if way == "up" else WORKER) + "/32", inside=self.router)

    def pass_on(self, *ways):
        for way in ways:
            ip("route", "del", "blackhole", (BROKER if way == "up" else WORKER) + "/32", inside=self.router)

    def close(self):
        for holder in self.holders:
            holder.kill()
            holder.wait()


def cut_off(fleet, network, failures, *ways):
    name = " and ".join(ways)
    e2e.wait_for(lambda: fleet.worker_state("w1") == "UP", PATIENCE, "w1 is up")
    before = fleet.called_silent()
    job = fleet.start_job(2, pause=TIMEOUT / 2)  # one on each; w1's ends while nobody hears it
    for n in (1, 2):
        fleet.wait_runs("%s/%d" % (job, n))
    begun = time.monotonic()
    network.drop(*ways)
    e2e.wait_for(lambda: fleet.worker_state("w1") == "LOST", PATIENCE, "w1 is called lost")
    took = time.monotonic() - begun
    later = [fleet.start_job(1) for _ in range(4)]
    for one in later:
        fleet.wait_runs(one + "/1")
    network.pass_on(*ways)
    opened = time.monotonic()
    e2e.wait_for(lambda: fleet.worker_state("w1") == "UP", PATIENCE, "w1 is up again")
    step("cut off %s: lost after %.1f s, back %.1f s after the way was open" % (name, took, time.monotonic() - opened))
    fleet.wait_ended(PATIENCE)
    # While answers alone are lost a few more beats arrive, as many as its client sends without one.
    failures.check(TIMEOUT - 1 <= took <= TIMEOUT + (1.5 if "up" in ways else 5), "cut off %s: called lost after %.1f s" % (name, took))
    called = {verdict[0] for verdict in fleet.called_silent(before)}
    failures.check(called == {"w1"}, "cut off %s: these were called lost: %s" % (name, called))


def cuts(cluster, network, failures):
    fleet = kafka_fleet.KafkaFleet(cluster, settings=SETTINGS)
    with fleet.watched(failures):
        fleet.ensure_topics()
        fleet.add_all(workers=0, reapers=2)
        fleet.add("w1", "worker", prefix=["nsenter", "-t", str(network.worker), "-n"])
        fleet.add("w2", "worker")
        fleet.start()
        step("started")
        for ways in (("up", "down"), ("up",), ("down",)):
            cut_off(fleet, network, failures, *ways)
        print(fleet.judge(failures), flush=True)


def wrong_clocks(cluster, failures):
    """The log's time is the only one that counts: that of the broker, which is right."""
    fleet = kafka_fleet.KafkaFleet(cluster, settings=SETTINGS)
    clock = os.path.join(fleet.root, "wrong_clock.so")
    subprocess.run(["c++", "-shared", "-fPIC", "-O1", "-o", clock, os.path.join(kafka_fleet.PROJECT, "tests/support/wrong_clock.cc")], check=True)
    with fleet.watched(failures):
        fleet.ensure_topics()
        for name, kind, hours in (("d1", "dispatcher", -1), ("r1", "reaper", 1), ("r2", "reaper", -1), ("a1", "api", 1), ("w1", "worker", 1),
                                  ("w2", "worker", -1)):
            fleet.add(name, kind, prefix=["env", "LD_PRELOAD=" + clock, "WRONG_CLOCK_SECONDS=%d" % (3600 * hours)])
        fleet.start()
        begun = datetime.datetime.now(datetime.timezone.utc)
        says = datetime.datetime.fromisoformat(fleet["w1"].messages()[:24].replace("Z", "+00:00"))
        failures.check(abs((says - begun).total_seconds() - 3600) < 60, "the clock of w1 is not an hour wrong: it says " + str(says))
        job = fleet.start_job(6, pause=TIMEOUT / 2)
        for _ in range(10):
            fleet.drop()
        fleet.wait_ended(PATIENCE)
        told = fleet.http("/api/v1/jobs/" + job)
        for what in ("submitted_at", "finished_at"):
            at = datetime.datetime.fromisoformat(told[what].replace("Z", "+00:00"))
            failures.check(abs((at - begun).total_seconds()) < 120, "%s of a job is %s, the time is %s" % (what, at, begun))
        failures.check(not fleet.called_silent(), "with wrong clocks these were called lost: %s" % fleet.called_silent())
        fleet["w1"].kill()
        fleet.wait_ended(PATIENCE)
        fleet.start("w1")
        e2e.wait_for(lambda: fleet.worker_state("w1") == "UP", PATIENCE, "w1 is up")
        print(fleet.judge(failures), flush=True)
        step("wrong clocks")


def main():
    failures = e2e.Failures()
    own_namespace()
    network = Network()
    with Cluster(address=BROKER) as cluster:
        cuts(cluster, network, failures)
        wrong_clocks(cluster, failures)
    network.close()
    failures.end()


if __name__ == "__main__":
    main()
