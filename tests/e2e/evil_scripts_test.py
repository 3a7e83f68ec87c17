"""Scripts that hang, ignore SIGTERM, stop themselves, fork and exit, write without end or fork without end: the others go on meanwhile, each evil
one ends as it must, and no process is left."""
import os
import time

import fleet as e2e

GOOD = 60 if e2e.FAST else 300
FLOOD = int(os.environ.get("FLOOD_MIB", "64" if e2e.FAST else "1024"))  # 10240 writes 10 GiB
EVIL_LIMIT = 60.0

# Kind of evil → (what its file does, the exit it must come to: "failed" or "completed").
EVIL = {
    "hangs": ("exec sleep 1000", "failed"),
    "ignores-term": ("trap '' TERM INT HUP; while :; do sleep 1000; done", "failed"),
    "stops-itself": ("kill -STOP $$", "failed"),
    "stops-its-group": ("kill -STOP 0", "failed"),
    "forks-and-exits": ("sleep 1000 & exit 0", "completed"),
    "daemon": ("setsid sh -c 'setsid sleep 1000 & sleep 1000' </dev/null >/dev/null 2>&1 & exit 0", "completed"),
    "closes-its-output": ("exec >&- 2>&-; exit 0", "completed"),
    "holds-the-pipe": ("(trap '' TERM HUP; sleep 1000) & exit 3", "failed"),
    "floods": ("dd if=/dev/zero bs=1M count=%d 2>/dev/null; exit 0" % FLOOD, "completed"),
    "floods-both": ("yes stdout | head -c 20000000; yes stderr | head -c 20000000 >&2; exit 0", "completed"),
    "fork-bomb": ("bomb() { bomb | bomb & }; bomb; wait; sleep 1000", "failed"),
    "kills-its-group": ("kill -9 0", "failed"),
    "kills-its-parent": ("kill -TERM $PPID; exit 0", "completed"),
}
SCRIPT = r"""#!/bin/sh
name=${1##*/}
case $name in evil-*) . "$1" ;; esac
echo "$name $LANEWAY_ATTEMPT $$" >>"$HOME/witness"
"""


def drop(fleet, name, text):
    """Moved in whole, as a careful sender does."""
    ready = os.path.join(fleet.root, "ready")
    with open(ready, "w") as f:
        f.write(text)
    os.rename(ready, os.path.join(fleet.place("incoming"), name))


def completed(fleet, names):
    return names <= {os.fsdecode(path) for path in fleet.files("completed")}


def outcome(fleet, name):
    for place in e2e.PLACES:
        if os.path.exists(os.path.join(fleet.place(place), name)):
            return place
    return None


def main():
    failures = e2e.Failures()
    fleet = e2e.Fleet(settings=["zone.settle=300ms", "job.timeout=4s", "worker.kill_grace=1s", "job.max_attempts=1", "worker.processes_max=64",
                                "worker.log_size_max=4MiB", "worker.in_process_thread_count=3"])
    fleet.script(SCRIPT)
    fleet.start()
    fleet.wait_started()
    evil = {"evil-" + kind: what for kind, what in EVIL.items()}
    begun = time.monotonic()
    good = set()
    waits = []
    # One evil script at a time among good ones: two workers are left, so the good ones end well before the time of the evil one (4 s) is over.
    for name, (text, end) in evil.items():
        drop(fleet, name, text + "\n")
        batch = {"good-%04d" % (len(good) + i) for i in range(GOOD // len(evil) + 1)}
        started = time.monotonic()
        for one in sorted(batch):
            drop(fleet, one, "x")
        try:
            e2e.wait_for(lambda: completed(fleet, batch), 3.5, "the good files beside " + name, step=0.02)
        except TimeoutError as late:
            failures.check(False, str(late))
        waits.append((time.monotonic() - started, name))
        good |= batch
        failures.check(fleet.process.poll() is None, "%s ended the fleet" % name)
        try:
            e2e.wait_for(lambda: outcome(fleet, name), EVIL_LIMIT, "the end of " + name, step=0.02)
        except TimeoutError as late:
            failures.check(False, str(late))
        failures.check(outcome(fleet, name) == end, "%s is in %s, not in %s" % (name, outcome(fleet, name), end))
    # All of them at once, and good ones behind them: they get their turn when the time of the evil ones is over.
    for name, (text, end) in evil.items():
        drop(fleet, name + "-again", text + "\n")
    batch = {"last-%04d" % i for i in range(20)}
    for one in sorted(batch):
        drop(fleet, one, "x")
    try:
        e2e.wait_for(lambda: completed(fleet, batch) and all(outcome(fleet, n + "-again") for n in evil), EVIL_LIMIT, "all evil at once", step=0.05)
    except TimeoutError as late:
        failures.check(False, "%s; not ended: %s" % (late, [n for n in evil if not outcome(fleet, n + "-again")]))
    only = {fleet.process.pid, *fleet.companions()}
    try:
        e2e.wait_for(lambda: set(e2e.processes_of(fleet.root)) <= only, 10, "nothing of the scripts is left")
    except TimeoutError:
        left = {p: c for p, c in e2e.processes_of(fleet.root).items() if p not in only}
        failures.check(False, "%d processes of scripts are left: %s" % (len(left), dict(list(left.items())[:5])))
    logs = [os.path.join(base, n) for base, _, names in os.walk(fleet.place("logs")) for n in names]
    biggest = max(logs, key=os.path.getsize)
    failures.check(os.path.getsize(biggest) <= 5 << 20, "%s has %d bytes" % (biggest, os.path.getsize(biggest)))
    failures.check(fleet.stop() == 0, "the fleet did not end well")
    fleet.no_process_left(failures)
    print("%d good files beside %d evil ones in %.1f s; the longest any batch waited: %.2f s (%s)" %
          ((len(good) + 20, 2 * len(evil), time.monotonic() - begun) + max(waits)))
    failures.end(fleet)


if __name__ == "__main__":
    main()
