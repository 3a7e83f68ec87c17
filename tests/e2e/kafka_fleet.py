"""A fleet as a cluster has it: each role a process of its own, which meet in the topics of a real Apache Kafka.

A KafkaFleet starts a broker (or is given a Cluster), makes the topics, and starts, stops, kills and pauses each role by its name: "d1", "w2".
Each has a data folder and a file of messages of its own; all share the zone, the witness file and HOME. It drops files and starts jobs over
HTTP, and remembers what it asked for: kafka_checker.py judges what became of it.
"""
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import traceback
import urllib.error
import urllib.request

import fleet as e2e
import kafka_checker

PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.append(os.path.join(PROJECT, "tests/support"))
from kafka_cluster import Cluster, die_with_parent, free_ports  # noqa: E402

# An ordinary script. A file's first two lines are the content's own name and how long it works; a job over HTTP says the latter in an argument.
SCRIPT = r"""#!/bin/sh
id=- pause=$2
[ -z "$1" ] || { read -r id; read -r pause; } <"$1"
echo "start $LANEWAY_TASK $LANEWAY_ATTEMPT $LANEWAY_WORKER $$ $id" >>"$HOME/witness"
[ "$pause" = 0 ] || sleep "$pause"
echo "end $LANEWAY_TASK $LANEWAY_ATTEMPT $LANEWAY_WORKER $$ $id" >>"$HOME/witness"
"""


def children_of(pid):
    """pid → command line of the live children."""
    found = {}
    for entry in os.listdir("/proc"):
        try:
            with open("/proc/%s/stat" % entry, "rb") as f:
                fields = f.read().rpartition(b")")[2].split()
            if int(fields[1]) == pid and fields[0] != b"Z":
                with open("/proc/%s/cmdline" % entry, "rb") as f:
                    found[int(entry)] = f.read().replace(b"\0", b" ").decode("utf-8", "backslashreplace")
        except (OSError, ValueError):
            continue  # no process, or it has ended meanwhile
    return found


class Role(e2e.Program):
    """One process: `laneway run KIND`. `prefix`: words before the binary (faketime, nsenter). `brokers`: where it is told they are.
    `members`: how many workers live in this process."""

    def __init__(self, fleet, name, kind, flags=(), prefix=(), preexec=None, brokers=None, members=1):
        super().__init__(fleet.root, os.path.join(fleet.root, "messages." + name))
        self.fleet, self.name, self.kind, self.flags, self.prefix, self.preexec = fleet, name, kind, list(flags), list(prefix), preexec
        self.data = os.path.join(fleet.root, "data", name)
        self.brokers = brokers or fleet.brokers
        self.workers = [] if kind != "worker" else [name] if members == 1 else ["%s-%d" % (name, n) for n in range(1, members + 1)]
        self.paused = []

    def command(self):
        words = [*self.prefix, e2e.BINARY, "run", self.kind, "--brokers", self.brokers, "--data", self.data]
        if self.kind in ("dispatcher", "worker"):
            words += ["--zone", self.fleet.zone]
        if self.kind == "worker":
            many = ["--workers", str(len(self.workers)), "--set", "worker.id_pattern=%s-{n}" % self.name]
            words += ["--id", self.name] if self.workers == [self.name] else many
        if self.kind == "api":
            words += ["--listen", "127.0.0.1:%d" % self.fleet.port(self.name)]
        metrics = "127.0.0.1:%d" % self.fleet.port(self.name) if self.kind == "dispatcher" else "off"
        for setting in ["metrics.listen=" + metrics] + self.fleet.settings:  # a later one counts
            words += ["--set", setting]
        words += self.flags
        return words + (self.fleet.work if self.kind == "dispatcher" else [])

    def start(self):
        def prepare():
            die_with_parent()
            if self.preexec:
                self.preexec()
        return self.launch(self.command(), preexec=prepare)

    def running(self):
        return self.process is not None and self.process.poll() is None

    def cpu_seconds(self):
        with open("/proc/%d/stat" % self.process.pid) as f:
            return sum(int(ticks) for ticks in f.read().rpartition(")")[2].split()[11:13]) / os.sysconf("SC_CLK_TCK")

    def companions(self):
        return [pid for pid, line in children_of(self.process.pid).items() if "__companion" in line]

    def pause(self, companion=False):
        """SIGSTOP. With its companion too it is as a frozen machine: nobody tells last words."""
        self.paused = [self.process.pid] + (self.companions() if companion else [])
        for pid in self.paused:
            os.kill(pid, signal.SIGSTOP)

    def resume(self):
        for pid in self.paused:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                pass
        self.paused = []

    def kill(self):
        super().kill()
        self.resume()  # its companion, when that was paused too


class KafkaFleet(e2e.Ground):
    def __init__(self, cluster=None, settings=(), root=None, brokers=None, lanes=4):
        super().__init__(root)
        self.owned = Cluster() if cluster is None and brokers is None else None
        self.cluster = cluster or self.owned
        self.brokers = brokers or self.cluster.facts["bootstrap"]
        self.prefix = "f%d." % (time.time_ns() // 1000 % 10**9)  # several fleets may share a cluster
        self.settings = ["log.prefix=" + self.prefix, "zone.settle=200ms", "log.lanes=%d" % lanes, *settings]
        self.roles, self.ports = {}, {}
        self.sums, self.names, self.jobs = {}, {}, {}  # of files: ident → digest, name; of jobs over HTTP: id → tasks
        self.cancelled = set()  # jobs that are to end so
        self.script = self.write_script(SCRIPT)
        self.work = ["--exec", "/bin/sh", self.script, "{file}"]
        self.ready = os.path.join(self.root, "ready")
        os.makedirs(self.ready)
        self.next = 0

    # The processes.

    def ensure_topics(self):
        words = [e2e.BINARY, "topics", "ensure", "--brokers", self.brokers]
        for setting in self.settings:
            words += ["--set", setting]
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              env=e2e.Program(self.root, os.devnull).environment())
        if done.returncode != 0:
            raise RuntimeError(done.stdout)

    def add(self, name, kind, **options):
        self.roles[name] = Role(self, name, kind, **options)
        return self.roles[name]

    def add_all(self, workers=2, dispatchers=1, reapers=1, apis=1):
        for letter, kind, count in (("d", "dispatcher", dispatchers), ("r", "reaper", reapers), ("a", "api", apis), ("w", "worker", workers)):
            for n in range(1, count + 1):
                self.add("%s%d" % (letter, n), kind)

    def __getitem__(self, name):
        return self.roles[name]

    def of_kind(self, kind):
        return [role for role in self.roles.values() if role.kind == kind]

    def start(self, *names, wait=True):
        """All that do not run, or those named."""
        wanted = [self.roles[name] for name in names] or [role for role in self.roles.values() if not role.running()]
        for role in wanted:
            role.start()
        for role in wanted if wait else []:
            role.wait_started(30)
            if not role.running():
                raise RuntimeError("%s ended with %s:\n%s" % (role.name, role.process.poll(), role.messages(since_start=True)[-2000:]))

    def active_dispatcher(self, seconds=30):
        """The one whose metrics say so."""
        def active(role):
            try:
                with urllib.request.urlopen("http://127.0.0.1:%d/metrics" % self.port(role.name), timeout=2) as answer:
                    return re.search(rb"^laneway_dispatcher_active(\{.*\})? 1", answer.read(), re.M)
            except OSError:
                return False  # it starts, or it is gone
        found = lambda: [role for role in self.of_kind("dispatcher") if role.running() and not role.paused and active(role)]
        return e2e.wait_for(found, seconds, "an active dispatcher", step=0.02)[0]

    def stop_all(self, failures=None):
        """SIGTERM to all at once."""
        running = [role for role in self.roles.values() if role.running()]
        for role in running:
            role.resume()
            role.process.send_signal(signal.SIGTERM)
        for role in running:
            try:
                code = role.process.wait(30)
            except subprocess.TimeoutExpired:
                role.kill()
                code = None
            if failures:
                failures.check(code == 0, "%s ended with %s after SIGTERM" % (role.name, code))

    def end(self, failures):
        """Ends what still runs, looks for leftovers; the folders are kept when something failed."""
        self.stop_all(failures)
        self.no_process_left(failures)
        if self.owned:
            self.owned.close()
        if failures.count:
            for role in self.roles.values():
                print("--- the last messages of %s ---\n%s" % (role.name, e2e.printable(role.messages()[-2500:])))
            print("kept: " + self.root, flush=True)
        else:
            self.remove()

    # What it is asked to do.

    def drop(self, pause=0, size=20):
        """A file that appears complete. Its ident."""
        ident = "c%06d" % self.next
        self.next += 1
        text = "%s\n%s\n%s\n" % (ident, pause, "x" * size)
        name = "f-%s.csv" % ident
        ready = os.path.join(self.ready, name)
        with open(ready, "w") as f:
            f.write(text)
        self.sums[ident], self.names[ident] = e2e.hashlib.sha256(text.encode()).hexdigest(), name
        os.rename(ready, os.path.join(self.zone, "incoming", name))
        return ident

    def port(self, name):
        """Of an API, or of a dispatcher's metrics."""
        if name not in self.ports:
            self.ports[name] = free_ports(1)[0]
        return self.ports[name]

    def http(self, path, body=None, patience=30):
        """What any API that runs answers. A request is sent again until it is answered: its idempotency key makes that harmless."""
        deadline = time.monotonic() + patience
        last = "no API runs"
        while time.monotonic() < deadline:
            for role in self.of_kind("api"):
                if not role.running():
                    continue
                request = urllib.request.Request("http://127.0.0.1:%d%s" % (self.port(role.name), path),
                                                 None if body is None else json.dumps(body).encode(), {"Content-Type": "application/json"})
                try:
                    with urllib.request.urlopen(request, timeout=5) as answer:
                        return json.load(answer)
                except urllib.error.HTTPError as error:
                    last = "%d %s" % (error.code, error.read()[:300])
                    if error.code < 500:
                        raise RuntimeError(last) from error
                except (OSError, ValueError) as error:
                    last = error
            time.sleep(0.05)  # the API is asked again, not waited for blindly
        raise TimeoutError("%s: not answered within %g s: %s" % (path, patience, last))

    def start_job(self, tasks=1, pause=0, patience=30, **fields):
        key = "job-%06d" % self.next
        self.next += 1
        body = {"name": key, "idempotency_key": self.prefix + key, "data_sources": ["s%d" % n for n in range(tasks)],
                "exec": ["/bin/sh", self.script, "", str(pause)], **fields}
        job = self.http("/start_job", body, patience)["job_id"]
        self.jobs[job] = tasks
        return job

    # What has become of it.

    def witnessed(self):
        """start|end, task, attempt, worker, pid, ident of each line so far."""
        with open(self.witness) as f:
            return [line.split(" ") for line in f.read().split("\n")[:-1]]

    def wait_runs(self, task_or_ident, count=1, seconds=30):
        """The last of so many starts of a task."""
        def found():
            runs = [line for line in self.witnessed() if line[0] == "start" and task_or_ident in (line[1], line[5])]
            return runs[-1] if len(runs) >= count else None
        return e2e.wait_for(found, seconds, "%d starts of %s" % (count, task_or_ident))

    def ended(self):
        """No file is under way, no job is open."""
        if sum(len(self.files(place)) for place in e2e.PLACES) < len(self.sums):
            return False
        return not any(self.http("/api/v1/jobs?state=%s&limit=1" % state)["jobs"] for state in ("PENDING", "RUNNING"))

    def wait_ended(self, seconds):
        e2e.wait_for(self.ended, seconds, "all files and jobs at their end", step=0.05)

    def worker_state(self, name):
        return self.http("/api/v1/workers/" + name)["state"]

    @contextlib.contextmanager
    def watched(self, failures):
        """What goes wrong within is a failure like others; then the fleet ends, as end() says."""
        try:
            yield
        except Exception as error:
            failures.check(False, "%s: %s" % (type(error).__name__, error))
            traceback.print_exc()
        self.end(failures)

    def called_silent(self, before=frozenset()):
        """Verdicts of silence since then."""
        return {verdict for verdict in self.records().history.verdicts if verdict[1] in ("silent", "not_reading")} - before

    def records(self):
        return kafka_checker.Records(self.brokers, self.prefix, os.path.join(PROJECT, "schemas"))

    def judge(self, failures, records=None):
        """Everything that was asked for, by the independent checker. Its figures."""
        workers = [worker for role in self.of_kind("worker") if role.running() for worker in role.workers]
        findings, figures = (records or self.records()).judge(self.zone, self.witness, {self.names[i]: self.sums[i] for i in self.sums},
                                                              self.jobs, workers, self.cancelled)
        for finding in findings:
            failures.check(False, finding)
        return figures


class Load(threading.Thread):
    """Files and jobs at a pace of their own, until so many have been asked for."""

    def __init__(self, fleet, rng, files, tasks, seconds, patience=120):
        super().__init__(daemon=True)
        self.fleet, self.rng, self.files, self.tasks, self.seconds = fleet, rng, files, tasks, seconds
        self.patience, self.error = patience, None

    def run(self):
        try:
            begun, files, tasks = time.monotonic(), 0, 0
            while files < self.files or tasks < self.tasks:
                share = min(1.0, (time.monotonic() - begun) / self.seconds)
                while files < share * self.files:
                    self.fleet.drop(self.rng.choice([0, 0, 0.02, 0.1]), self.rng.choice([10, 5000]))
                    files += 1
                if tasks < share * self.tasks:
                    count = min(self.rng.choice([1, 5, 20]), self.tasks - tasks)
                    self.fleet.start_job(count, self.rng.choice([0, 0, 0.01, 0.05]), patience=self.patience)
                    tasks += count
                time.sleep(0.02)  # the pace is what is wanted
        except Exception as error:  # told by the one who waits for it
            self.error = error

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *raised):
        if raised[0] is None:
            self.join()
            if self.error:
                raise self.error


def step(name, begun=[time.monotonic()]):
    now = time.monotonic()
    print("%5.1f s  %s" % (now - begun[0], name), flush=True)
