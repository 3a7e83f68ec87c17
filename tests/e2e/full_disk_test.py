"""The disk of the zone and of the data folder fills up under load: a clear message, nothing lost, and work goes on by itself when there is space."""
import os
import subprocess
import tempfile
import time

import fleet as e2e

FILES = 300 if e2e.FAST else 1500
SIZE_MIB = 48

SCRIPT = r"""#!/bin/sh
sum=$(sha256sum <"$1") || exit 75
echo "$LANEWAY_TASK $LANEWAY_ATTEMPT $$ ${sum%% *}" >>"$HOME/witness"
"""


def fill(path):
    """Writes until nothing fits any more."""
    with open(path, "ab", buffering=0) as f:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    f.write(b"\0" * size)
            except OSError:
                pass


def drop(fleet, number, sums):
    content = b"%d " % number + os.urandom(200)
    ready = os.path.join(fleet.disk, "ready")
    with open(ready, "wb") as f:
        f.write(content)
    os.rename(ready, os.path.join(fleet.place("incoming"), "f%05d" % number))
    sums["f%05d" % number] = e2e.hashlib.sha256(content).hexdigest()


def storm(fleet, failures, sums):
    """Fills the disk while files are processed, leaves it full for a while, makes space: three times."""
    ballast = os.path.join(fleet.disk, "ballast")
    number = 0
    for round_ in range(3):
        goal = (round_ + 1) * FILES // 3
        while number < goal:
            drop(fleet, number, sums)
            number += 1
        e2e.wait_for(lambda: len(fleet.files("completed")) > round_ * FILES // 3 + 20, 30, "work goes on in round %d" % round_)
        size = os.path.getsize(fleet.log)
        fill(ballast)
        full_at = time.monotonic()

        def told():
            fill(ballast)  # whatever becomes free is taken again
            with open(fleet.log, "rb") as f:
                f.seek(size)
                return b"is full" in f.read() or time.monotonic() - full_at > 5
        e2e.wait_for(told, 10, "a message of the full disk", step=0.05)
        with open(fleet.log, "rb") as f:
            f.seek(size)
            said = f.read().decode("utf-8", "replace")
        left = len(fleet.files("incoming")) + len(fleet.files("processing"))
        if left > 20:  # it had a lot to do, and could not
            failures.check("is full" in said, "round %d: it says nothing of the full disk, but:\n%s" % (round_, said))
        failures.check(fleet.process.poll() is None, "round %d: the full disk ended it with %s:\n%s" % (round_, fleet.process.poll(), said))
        if fleet.process.poll() is not None:
            fleet.start()
        os.unlink(ballast)
        space_at = time.monotonic()
        try:
            e2e.wait_for(lambda: len(fleet.files("completed")) >= goal, 60, "all of round %d is done when there is space again" % round_, step=0.02)
        except TimeoutError as late:
            failures.check(False, "%s: %d of %d" % (late, len(fleet.files("completed")), goal))
            return
        print("round %d: %d left when it was full; all done %.1f s after there was space" % (round_, left, time.monotonic() - space_at), flush=True)


def main():
    if os.geteuid() != 0:
        print("SKIPPED: mounting a tmpfs needs root")
        raise SystemExit(e2e.SKIPPED)
    failures = e2e.Failures()
    disk = tempfile.mkdtemp(prefix="laneway-e2e-disk-")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%dm" % SIZE_MIB, "none", disk], check=True)
    fleet = e2e.Fleet(zone=os.path.join(disk, "zone"), data=os.path.join(disk, "data"),
                      settings=["zone.settle=300ms", "job.backoff.initial=50ms", "job.max_attempts=100"])
    fleet.disk = disk
    fleet.script(SCRIPT)
    sums = {}
    try:
        fleet.start()
        fleet.wait_started()
        storm(fleet, failures, sums)
        if fleet.process.poll() is None:
            failures.check(fleet.stop() == 0, "it did not stop well")
        failures.check(fleet.until_idle(60) == 0, "the last run")
        fleet.no_process_left(failures)
        found = {os.fsdecode(path): e2e.sha256(os.path.join(os.fsencode(fleet.place("completed")), path)) for path in fleet.files("completed")}
        for name, digest in sums.items():
            failures.check(found.get(name) == digest, "%s is %s" % (name, "lost" if name not in found else "changed"))
        failures.check(len(found) == len(sums), "%d files of %d" % (len(found), len(sums)))
        starts = [tuple(line.split()[:2]) for line in open(fleet.witness)]
        failures.check(len(starts) == len(set(starts)), "an attempt was started twice")
    finally:
        if fleet.process.poll() is None:
            fleet.kill()
        e2e.wait_for(lambda: not fleet.companions(), 10, "its companion ends")
        subprocess.run(["umount", "-l", disk], check=True)
        os.rmdir(disk)
    failures.end(fleet)


if __name__ == "__main__":
    main()
