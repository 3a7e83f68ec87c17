"""Judges a fleet on Kafka from outside: reads the topics (kcat), the scripts' witness file and the zone, and shares no code with the product.

    kafka_checker.py --brokers HOST:PORT --prefix laneway. --schemas schemas --witness FILE --zone FOLDER

It has its own small reading of docs/rules.md: events in the order of their partition, each counted or not. It then proves, or prints what is not so:
every job ended and its tasks succeeded; no task was accepted twice; no attempt was run twice; every run of a script has a TaskStarted record of its
attempt (one that counts, or that came behind a verdict); runs of a task overlap only after a worker was called lost; each accepted success is a run that ended well; every file is in
exactly one output place, the one its record names; every lane has a living owner. The witness file has lines
`start|end TASK ATTEMPT WORKER PID IDENT`.
"""
import argparse
import collections
import importlib
import json
import os
import subprocess
import sys
import tempfile

sys.path.append("/usr/lib/python3/dist-packages")  # python3-protobuf, whichever python3 comes first
PLACES = ("completed", "failed", "quarantine")
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
INTERRUPTED = 8


def load_schemas(folder):
    """The messages, by protoc from the .proto files: one namespace."""
    out = tempfile.mkdtemp(prefix="laneway-schemas-")
    sources = [os.path.join("laneway/v1", name) for name in ("event.proto", "lane.proto", "member.proto")]
    subprocess.run(["protoc", "--python_out=" + out, "-I" + folder, *sources], check=True, cwd=folder)
    sys.path.insert(0, out)
    names = {}
    for source in sources:
        names.update(vars(importlib.import_module(source[:-len(".proto")].replace("/", ".") + "_pb2")))
    return names


def id_text(raw):
    number = int.from_bytes(raw, "big")
    return "".join(CROCKFORD[number >> 5 * n & 31] for n in reversed(range(26)))


def read_topic(brokers, topic):
    """(partition, milliseconds of the broker's clock, value) of every record, in each partition's order."""
    read = subprocess.run(["kcat", "-b", brokers, "-C", "-t", topic, "-o", "beginning", "-e", "-q", "-f", "%p %T %S\n%s"], check=True,
                          stdout=subprocess.PIPE, timeout=300).stdout
    records, at = [], 0
    while at < len(read):
        end = read.index(b"\n", at)
        partition, time, size = (int(word) for word in read[at:end].split())
        records.append((partition, time, read[end + 1:end + 1 + max(0, size)]))
        at = end + 1 + max(0, size)
    return records


def partitions_of(brokers, topic):
    listed = subprocess.run(["kcat", "-b", brokers, "-L", "-J", "-t", topic], check=True, stdout=subprocess.PIPE, timeout=60).stdout
    return len(json.loads(listed)["topics"][0]["partitions"])


class Task:
    def __init__(self):
        self.state, self.attempt, self.worker, self.store, self.winner = "PENDING", 1, None, None, None
        self.failures = self.losses = 0
        self.started = {}    # attempt → worker, as counted
        self.told = set()    # (attempt, worker) of every TaskStarted there is
        self.ended_by = {}   # attempt → what ended it
        self.times = {}      # assigned, started, succeeded → when, the latest that counted
        self.successes = []  # every TaskSucceeded there is: attempt, worker, counted


class Job:
    def __init__(self, identity):
        self.id, self.parts, self.tasks, self.spec, self.file = identity, set(), {}, None, None
        self.complete = self.cancelled = False
        self.moved = []


class History:
    """What the events say."""

    def __init__(self):
        self.jobs, self.ignored, self.epochs, self.verdicts = {}, collections.Counter(), {}, set()
        self.released = collections.Counter()  # why, of those that counted
        self.records = self.now = 0

    def fold(self, records, event_type):
        for partition, self.now, value in records:
            event = event_type.FromString(value)
            kind = event.WhichOneof("what")
            self.records += 1
            step = getattr(self, "on_" + kind, None)
            counted = True if step is None else step(partition, event, getattr(event, kind))
            if counted is False:
                self.ignored[kind] += 1

    def task(self, event):
        job = self.jobs.get(id_text(event.job_id))
        return job.tasks.get(event.task) if job and job.complete else None

    def on_epoch_opened(self, partition, event, what):
        if what.epoch <= self.epochs.get(partition, 0):
            return False
        self.epochs[partition] = what.epoch
        return True

    def on_worker_lost(self, partition, event, what):
        verdict = (what.worker, what.reason, what.incarnation, what.heartbeat_offset)
        known = verdict in self.verdicts  # several reapers say the same
        self.verdicts.add(verdict)
        return not known

    def on_job_submitted(self, partition, event, what):
        identity = id_text(event.job_id)
        job = self.jobs.setdefault(identity, Job(identity))
        if job.complete or what.part in job.parts:
            return False
        job.parts.add(what.part)
        if what.part == 0:
            job.spec = what.spec
            job.file = what.file.path.decode("utf-8", "surrogateescape") if what.HasField("file") else None
        count = len(job.tasks) + (len(what.tasks) or (1 if what.parts <= 1 else 0))
        for n in range(len(job.tasks) + 1, count + 1):
            job.tasks[n] = Task()
        job.complete = len(job.parts) == max(1, what.parts)
        return True

    def on_task_assigned(self, partition, event, what):
        task = self.task(event)
        if not task or task.state != "PENDING" or event.attempt != task.attempt or what.epoch != self.epochs.get(partition, 0):
            return False
        task.state, task.worker, task.store = "ASSIGNED", what.worker, what.store
        task.times["assigned"] = self.now
        return True

    def on_task_started(self, partition, event, what):
        task = self.task(event)
        if task:
            task.told.add((event.attempt, what.worker))
        if not task or task.state != "ASSIGNED" or (event.attempt, what.worker, what.store) != (task.attempt, task.worker, task.store):
            return False
        task.state = "RUNNING"
        task.started[event.attempt] = what.worker
        task.times["started"] = self.now
        return True

    def held(self, event, what):
        task = self.task(event)
        good = task and task.state in ("ASSIGNED", "RUNNING") and (event.attempt, what.worker) == (task.attempt, task.worker)
        return task if good else None

    def again(self, task, why, dead):
        task.ended_by[task.attempt] = why
        if dead:
            task.state = "DEAD"
        else:
            task.state, task.attempt = "PENDING", task.attempt + 1

    def on_task_failed(self, partition, event, what):
        task = self.held(event, what)
        if not task:
            return False
        if what.ending == INTERRUPTED:
            return self.lose(task, event, "interrupted")
        task.failures += 1
        spec = self.jobs[id_text(event.job_id)].spec
        self.again(task, "failed", what.ending == 6 or task.failures >= spec.max_attempts)
        return True

    def lose(self, task, event, why):
        task.losses += task.state == "RUNNING"
        spec = self.jobs[id_text(event.job_id)].spec
        self.again(task, why, spec.max_losses and task.losses >= spec.max_losses)
        return True

    def on_task_released(self, partition, event, what):
        task = self.held(event, what)
        if not task:
            return False
        self.released[what.reason] += 1
        self.again(task, "released", False)
        return True

    def on_task_republished(self, partition, event, what):
        task = self.task(event)
        if not task or task.state not in ("ASSIGNED", "RUNNING") or event.attempt != task.attempt:
            return False
        return self.lose(task, event, "republished")

    def on_task_succeeded(self, partition, event, what):
        task = self.task(event)
        if not task:
            return False
        counts = task.state in ("PENDING", "ASSIGNED", "RUNNING") and event.attempt <= task.attempt
        task.successes.append((event.attempt, what.worker, counts))
        if counts:
            task.state, task.winner = "SUCCEEDED", event.attempt
            task.times["succeeded"] = self.now
        return counts

    def on_job_cancelled(self, partition, event, what):
        job = self.jobs.get(id_text(event.job_id))
        if not job:
            return False
        job.cancelled = True
        for task in job.tasks.values():
            if task.state in ("PENDING", "ASSIGNED", "RUNNING"):
                task.state = "CANCELLED"
        return True

    def on_file_moved(self, partition, event, what):
        job = self.jobs.get(id_text(event.job_id))
        if not job:
            return False
        job.moved.append(what.path.decode("utf-8", "surrogateescape"))
        return len(job.moved) == 1


class Judge:
    def __init__(self, history, zone, witness):
        self.history, self.zone, self.findings = history, zone, []
        with open(witness) as f:
            self.lines = [line.split(" ") for line in f.read().split("\n")[:-1]]
        self.runs = collections.Counter()  # (task, attempt) → starts
        self.figures = {}

    def check(self, good, text):
        if not good:
            self.findings.append(text)
        return good

    def task(self, name):
        job, _, number = name.rpartition("/")
        found = self.history.jobs.get(job)
        return found.tasks.get(int(number)) if found else None

    def judge_runs(self):
        open_runs, ended = collections.defaultdict(dict), collections.Counter()
        for what, name, attempt, worker, pid, _ in self.lines:
            attempt, task = int(attempt), self.task(name)
            if not self.check(task, "a script ran for %s, of which no record tells" % name):
                continue
            if what == "end":
                ended[name, attempt] += 1
                open_runs[name].pop(attempt, None)
                continue
            self.runs[name, attempt] += 1
            self.check(self.runs[name, attempt] == 1, "attempt %d of %s was run %d times" % (attempt, name, self.runs[name, attempt]))
            # Acknowledged is enough to start (rule W1): a verdict, or the late success of an earlier attempt, may have come before it.
            overtaken = task.ended_by.get(attempt) == "republished" or (task.winner is not None and task.winner < attempt)
            taken = (attempt, worker) in task.told and attempt not in task.started and overtaken
            self.check(taken or task.started.get(attempt) == worker, "attempt %d of %s was run by %s; the record of its start that counts "
                       "names %s; it was ended by %s" % (attempt, name, worker, task.started.get(attempt), task.ended_by.get(attempt)))
            open_runs[name][attempt] = pid
        self.judge_overlaps()
        for job in self.history.jobs.values():
            for number, task in job.tasks.items():
                name = "%s/%d" % (job.id, number)
                counted = [attempt for attempt, _, counts in task.successes if counts]
                self.check(len(counted) <= 1, "%s was accepted as succeeded %d times" % (name, len(counted)))
                for attempt, worker, _ in task.successes:
                    self.check(ended[name, attempt] == 1, "%s says that attempt %d of %s succeeded; its script ended %d times" %
                               (worker, attempt, name, ended[name, attempt]))

    def judge_overlaps(self):
        """A run that was still going when a later attempt started: only a verdict may have ended its attempt."""
        running = collections.defaultdict(set)
        ends = {(line[1], int(line[2])) for line in self.lines if line[0] == "end"}
        self.figures["overlaps"] = 0
        for what, name, attempt, _, _, _ in self.lines:
            attempt, task = int(attempt), self.task(name)
            if what == "end":
                running[name].discard(attempt)
                continue
            for earlier in running[name]:
                if task and (name, earlier) in ends:
                    self.figures["overlaps"] += 1
                    self.check(task.ended_by.get(earlier) == "republished", "attempts %d and %d of %s ran at once; the first was ended by %s" %
                               (earlier, attempt, name, task.ended_by.get(earlier)))
            running[name].add(attempt)

    def judge_jobs(self, want_jobs, cancelled=()):
        states = collections.Counter()
        for job in self.history.jobs.values():
            self.check(job.complete, "only %d parts of job %s were submitted" % (len(job.parts), job.id))
            for number, task in job.tasks.items():
                states[task.state] += 1
                wanted = "CANCELLED" if job.id in cancelled else "SUCCEEDED"
                self.check(task.state == wanted, "%s/%d is %s in attempt %d; attempts ended by %s" %
                           (job.id, number, task.state, task.attempt, task.ended_by))
        for identity, tasks in want_jobs.items():
            job = self.history.jobs.get(identity)
            if self.check(job, "job %s was accepted over HTTP, and no record tells of it" % identity):
                self.check(len(job.tasks) == tasks, "job %s has %d tasks of %d" % (identity, len(job.tasks), tasks))
        self.figures["tasks"] = dict(states)

    def files_in(self, place):
        top = os.path.join(self.zone, place)
        return [os.path.relpath(os.path.join(base, name), self.zone) for base, _, names in os.walk(top) for name in names]

    def judge_files(self, want_files):
        """`want_files`: name in incoming/ → SHA-256, or nothing."""
        where = collections.defaultdict(list)
        for place in ("incoming", "processing") + PLACES:
            for path in self.files_in(place):
                where[os.path.basename(path)].append(path)
        by_name = collections.defaultdict(list)
        for job in self.history.jobs.values():
            if job.file is None:
                continue
            by_name[job.file].append(job)
            self.check(len(set(job.moved)) == 1, "the file of job %s was moved to %s" % (job.id, job.moved))
        for name, jobs in by_name.items():
            self.check(len(jobs) == 1, "%s made %d jobs" % (name, len(jobs)))
        for name in set(want_files) | set(by_name):
            found = where.pop(os.path.basename(name), [])
            if not self.check(len(found) == 1, "%s is in %d places: %s" % (name, len(found), found)):
                continue
            told = by_name[name][0].moved if by_name[name] else ["no job"]
            self.check(found[0] in told and found[0].startswith("completed"), "%s is at %s, the records say %s" % (name, found[0], told))
            if want_files.get(name):
                digest = subprocess.run(["sha256sum", os.path.join(self.zone, found[0])], check=True, stdout=subprocess.PIPE).stdout
                self.check(digest.decode().split()[0] == want_files[name], "%s has changed" % name)
        self.check(not where, "nobody knows these files: %s" % dict(where))
        self.figures["files"] = len(by_name)

    def judge_lanes(self, controls, lanes, workers):
        table, gone = None, set()
        for control in controls:
            kind = control.WhichOneof("what")
            if kind == "lane_table":
                key = (control.lane_table.epoch, control.lane_table.version)
                table = control.lane_table if table is None or key >= (table.epoch, table.version) else table
            elif kind == "worker_registered":
                (gone.add if control.worker_registered.removed else gone.discard)(control.worker_registered.worker)
        owners = {one.lane: one.worker for one in table.lanes} if table else {}
        for lane in range(lanes):
            owner = owners.get(lane)
            alive = owner and owner not in gone and (not workers or owner in workers)
            self.check(alive, "lane %d is owned by %s; alive are %s" % (lane, owner or "nobody", sorted(workers) if workers else "all but %s" % gone))
        for worker in workers:
            self.check(worker in owners.values(), "%s has no lane of %d" % (worker, lanes))


class Records:
    """All that is read from the brokers, once."""

    def __init__(self, brokers, prefix, schemas):
        messages = load_schemas(os.path.abspath(schemas))
        self.history = History()
        self.history.fold(read_topic(brokers, prefix + "events"), messages["Event"])
        self.controls = [messages["ControlRecord"].FromString(value) for _, _, value in read_topic(brokers, prefix + "control") if value]
        self.lanes = partitions_of(brokers, prefix + "lanes")

    def judge(self, zone, witness, files=None, jobs=None, workers=None, cancelled=()):
        """What is not so (nothing: all is well), and figures."""
        history, one = self.history, Judge(self.history, zone, witness)
        one.judge_runs()
        one.judge_jobs(jobs or {}, cancelled)
        one.judge_files(files or {})
        one.judge_lanes(self.controls, self.lanes, workers or [])
        tasks = [task for job in history.jobs.values() for task in job.tasks.values()]
        one.figures.update(records=history.records, jobs=len(history.jobs), runs=sum(one.runs.values()),
                           attempts_ended=dict(collections.Counter(why for task in tasks for why in task.ended_by.values())),
                           ignored=dict(history.ignored), verdicts=dict(collections.Counter("%s %s" % verdict[:2] for verdict in history.verdicts)),
                           epochs=max(history.epochs.values(), default=None))
        return one.findings, one.figures


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    for name in ("brokers", "prefix", "schemas", "zone", "witness"):
        parser.add_argument("--" + name, required=True)
    given = parser.parse_args()
    findings, figures = Records(given.brokers, given.prefix, given.schemas).judge(given.zone, given.witness)
    print(json.dumps(figures, indent=1))
    for finding in findings:
        print("NOT SO: " + finding)
    print("%d findings" % len(findings))
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
