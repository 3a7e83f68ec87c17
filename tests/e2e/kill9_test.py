"""kill -9 of the whole fleet at random moments, again and again, while files arrive, collide and are withdrawn.

Afterwards, judged from the file system and from what the scripts themselves wrote outside the system: every file is in exactly one
output place, byte for byte, under a task of its own; no attempt number was started twice, no two runs of a task overlapped; a
withdrawn file was never processed; nothing runs on; and a restart was at work again within two seconds.
"""
import os
import random
import re
import signal
import time

import fleet as e2e

KILLS = int(os.environ.get("KILLS", "20" if e2e.FAST else "200"))
FILES = int(os.environ.get("FILES", "300" if e2e.FAST else "2000"))
SEED = int(os.environ.get("SEED", str(random.randrange(1 << 32))))
RESTART_LIMIT = 2.0

# An ordinary script. Its file's first line is the content's own name; the second says what to do.
SCRIPT = r"""#!/bin/sh
{ read -r id; read -r pause; read -r once; } <"$1"
echo "$LANEWAY_TASK $LANEWAY_ATTEMPT $$ start $id ${1##*/}" >>"$HOME/witness"
[ "$pause" = 0 ] || sleep "0.$pause"
if [ "$once" = again ] && mkdir "$HOME/once.$id" 2>/dev/null; then
  echo "$LANEWAY_TASK $LANEWAY_ATTEMPT $$ end75 $id ${1##*/}" >>"$HOME/witness"
  exit 75
fi
read -r id2 <"$1"
echo "$LANEWAY_TASK $LANEWAY_ATTEMPT $$ end0 $id2 ${1##*/}" >>"$HOME/witness"
"""


class Feeder:
    """Drops files into incoming/ and remembers what each held. Names repeat on purpose; nothing is ever overwritten."""

    def __init__(self, fleet, rng):
        self.fleet, self.rng, self.next = fleet, rng, 0
        self.sums, self.names, self.withdrawn = {}, {}, set()
        self.incoming = fleet.place("incoming")
        self.outside = os.path.join(fleet.root, "outside")
        os.makedirs(self.outside)

    def content(self):
        ident = "c%06d" % self.next
        self.next += 1
        pause = self.rng.choice(["0", "0", "01", "02", "03", "05"])
        again = "again" if self.rng.random() < 0.1 else "no"
        return ident, "%s\n%s\n%s\n%s" % (ident, pause, again, "x" * self.rng.choice([0, 10, 5000]))

    def drop(self, name=None, slowly=False):
        ident, text = self.content()
        name = name or (self.rng.choice(["same-%d.csv" % self.rng.randrange(20), "f-%s.csv" % ident, "sub/g-%s.csv" % ident]))
        target = os.path.join(self.incoming, name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if slowly:
            try:
                fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            except FileExistsError:
                return False
            half = self.rng.randrange(len(text))
            os.write(fd, text[:half].encode())
            time.sleep(self.rng.random() * 0.05)  # a slow writer is what is tested
            os.write(fd, text[half:].encode())
            os.close(fd)
        else:
            ready = os.path.join(self.outside, ident)
            with open(ready, "w") as f:
                f.write(text)
            if self.rng.random() < 0.5:
                os.utime(ready, (1.6e9, 1.6e9))  # the same time on many: identity must not rest on it alone
            try:
                os.link(ready, target)  # never overwrites
            except FileExistsError:
                os.unlink(ready)
                return False
            os.unlink(ready)
        self.sums[ident] = e2e.hashlib.sha256(text.encode()).hexdigest()
        self.names[ident] = name
        return True

    def drop_beside_one_at_work(self):
        """The name of a file that is being processed right now, with another content."""
        for path in self.fleet.files("processing"):
            parts = path.split(b"/")
            if len(parts) >= 3 and parts[-1].endswith(b".csv"):
                return self.drop(os.fsdecode(parts[-1]))
        return False

    def withdraw(self):
        """Takes a file back out of incoming/. A rename: either the fleet has it, or its owner."""
        names = [n for n in e2e.files_below(self.incoming)]
        if not names:
            return
        path = os.path.join(os.fsencode(self.incoming), self.rng.choice(names))
        back = os.path.join(os.fsencode(self.outside), b"withdrawn-%d" % len(self.withdrawn))
        try:
            os.rename(path, back)
        except FileNotFoundError:
            return
        with open(back) as f:
            ident = f.readline().strip()
        self.withdrawn.add(ident)


def witnessed(fleet):
    with open(fleet.witness) as f:
        return [line.split(" ", 5) for line in f.read().splitlines()]


def first_start_after(fleet, size, begun, limit):
    """Seconds until the witness file grows by a start; None at the limit."""
    while time.monotonic() - begun < limit:
        with open(fleet.witness, "rb") as f:
            f.seek(size)
            if b" start " in f.read():
                return time.monotonic() - begun
        if fleet.process.poll() is not None:
            return None
        time.sleep(0.002)
    return None


def storm(fleet, feeder, rng, failures):
    delays, kills = [], 0
    each = (FILES - FILES // 5) / KILLS
    owed = 0.0
    while len(feeder.sums) < FILES // 5:
        feeder.drop()
    while kills < KILLS:
        for _ in range(3):
            feeder.drop("waiting-%06d.csv" % feeder.next)  # there is work at every restart
        size = os.path.getsize(fleet.witness)
        begun = time.monotonic()
        fleet.start()
        if kills % 2 == 0:  # measured: until the first script, then a while
            took = first_start_after(fleet, size, begun, 10)
            if took is None:
                failures.check(False, "kill %d: no script within 10 s of a restart (exit %s)" % (kills, fleet.process.poll()))
                fleet.kill()
                return delays
            delays.append(took)
            if took > RESTART_LIMIT / 2:
                print("kill %d: %.2f s to work; began %.3f; %s" % (kills, took, time.time() - took, fleet.messages(since_start=True)), flush=True)
            until = time.monotonic() + rng.random() * 0.3
        else:  # at any moment, also while it starts
            until = begun + rng.random() * 0.6
        owed += each - 3
        while time.monotonic() < until:
            if owed >= 1:
                owed -= 1
                what = rng.random()
                if what < 0.15:
                    feeder.drop_beside_one_at_work()
                elif what < 0.2:
                    feeder.withdraw()
                else:
                    feeder.drop(slowly=what < 0.3)
            time.sleep(rng.random() * 0.01)
        companions = fleet.companions() if rng.random() < 0.25 else []
        order = rng.random() < 0.5
        for pid in companions if order else []:
            kill(pid)
        failures.check(fleet.process.poll() is None, "kill %d: it had ended by itself with %s" % (kills, fleet.process.poll()))
        fleet.kill()
        for pid in [] if order else companions:
            kill(pid)
        kills += 1
    while len(feeder.sums) < FILES:
        feeder.drop()
    return delays


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def judge_places(fleet, feeder, failures):
    """Where each content is; which task it went with."""
    where = {}
    for place in ("incoming", "processing") + e2e.PLACES:
        for path in fleet.files(place):
            full = os.path.join(os.fsencode(fleet.place(place)), path)
            with open(full, "rb") as f:
                ident = f.readline().strip().decode("utf-8", "replace")
            where.setdefault(ident, []).append((place, os.fsdecode(path), e2e.sha256(full)))
    for ident, found in where.items():
        failures.check(ident in feeder.sums, "%s was never dropped: %s" % (ident, found))
        failures.check(len(found) == 1, "%s is in %d places: %s" % (ident, len(found), found))
    for ident, digest in feeder.sums.items():
        found = where.get(ident)
        if ident in feeder.withdrawn:
            failures.check(not found, "%s was withdrawn and is in %s" % (ident, found))
            continue
        if not failures.check(found, "%s (%s) is lost" % (ident, feeder.names[ident])):
            continue
        place, path, now = found[0]
        failures.check(place == "completed", "%s is in %s/%s" % (ident, place, path))
        failures.check(now == digest, "%s has changed" % ident)
        stem, dot, extension = feeder.names[ident].rpartition(".")
        kept = re.fullmatch(re.escape(stem) + "(~[0-9A-Z]{26}-[0-9]+)?" + re.escape(dot + extension), path)
        failures.check(kept, "%s, dropped as %s, is now %s" % (ident, feeder.names[ident], path))


def judge_witness(fleet, feeder, failures):
    starts, open_run, tasks, ends = set(), {}, {}, {}
    for task, attempt, pid, what, ident, name in witnessed(fleet):
        failures.check(os.path.basename(feeder.names.get(ident, "?")) == name, "%s read %s under the name %s" % (task, ident, name))
        failures.check(tasks.setdefault(task, ident) == ident, "%s read %s and %s" % (task, tasks[task], ident))
        failures.check(ident not in feeder.withdrawn, "%s was withdrawn and is processed by %s" % (ident, task))
        if what == "start":
            failures.check((task, attempt) not in starts, "attempt %s of %s was started twice" % (attempt, task))
            starts.add((task, attempt))
            open_run[task] = (int(attempt), pid)
        else:
            failures.check(open_run.get(task) == (int(attempt), pid),
                           "attempt %s of %s ended while %s was running" % (attempt, task, open_run.get(task)))
            if what == "end0":
                ends.setdefault(ident, set()).add(task)
    for ident in feeder.sums:
        if ident not in feeder.withdrawn:
            failures.check(len(ends.get(ident, ())) == 1, "%s was done by %d tasks: %s" % (ident, len(ends.get(ident, ())), ends.get(ident)))
    return starts


def main():
    rng = random.Random(SEED)
    print("seed %d, %d kills, at least %d files (SEED=, KILLS=, FILES= run it again)" % (SEED, KILLS, FILES), flush=True)
    failures = e2e.Failures()
    fleet = e2e.Fleet(settings=["zone.settle=300ms", "job.max_losses=1000", "job.max_attempts=3", "job.backoff.initial=50ms"])
    fleet.script(SCRIPT)
    feeder = Feeder(fleet, rng)
    begun = time.monotonic()
    delays = sorted(storm(fleet, feeder, rng, failures))
    stormed = time.monotonic() - begun
    code = fleet.until_idle(120)
    # A file withdrawn after its task was given to a worker leaves a dead task behind: nobody else may.
    dead = len(re.findall(r"nowhere in the zone: withdrawn", fleet.messages()))
    failures.check(code == 0 or (code == 1 and 0 < dead <= len(feeder.withdrawn)),
                   "the last run ended with %s, %d files were found to be gone\n%s" % (code, dead, fleet.summary()))
    fleet.no_process_left(failures)
    judge_places(fleet, feeder, failures)
    starts = judge_witness(fleet, feeder, failures)
    if failures.check(delays, "no restart was measured"):
        at = lambda p: delays[min(len(delays) - 1, int(p * len(delays)))]
        print("restart to work: p50 %.0f ms, p99 %.0f ms, max %.0f ms (%d measured)" % (at(.5) * 1e3, at(.99) * 1e3, delays[-1] * 1e3, len(delays)))
        failures.check(delays[-1] < RESTART_LIMIT, "a restart took %.2f s to work" % delays[-1])
    print("%d files, %d withdrawn, %d runs of scripts, %d kills in %.0f s, then %.0f s to the end" %
          (len(feeder.sums), len(feeder.withdrawn), len(starts), KILLS, stormed, time.monotonic() - begun - stormed))
    failures.end(fleet)


if __name__ == "__main__":
    main()
