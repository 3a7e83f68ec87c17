"""Real browsers under a real worker: killed, hung, adopted, refused. LANEWAY_BROWSER_KILLS sets how often one is killed in a row (12; fast: 4)."""
import glob
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

from fleet import BINARY, FAST, Failures, Ground, Program, processes_of, wait_for

KILLS = int(os.environ.get("LANEWAY_BROWSER_KILLS", "4" if FAST else "12"))
SETTINGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-crash-reporter"]


def free_ports(count):
    """The first of `count` free ports in a row, below the range the system gives to whoever connects."""
    for base in range(20000 + os.getpid() % 9000, 32000, count):
        try:
            held = [socket.create_server(("127.0.0.1", base + i)) for i in range(count)]
        except OSError:
            continue
        for one in held:
            one.close()
        return base
    raise OSError("no free ports")


class BrowserFleet:
    def __init__(self, workers=2, **browser):
        self.ground = Ground()
        self.root = self.ground.root
        self.base = free_ports(workers + 1)
        self.api = "http://127.0.0.1:%d" % (self.base + workers)
        self.workers = workers
        script = self.ground.write_script('#!/bin/bash\necho "$LANEWAY_JOB $LANEWAY_WORKER $LANEWAY_BROWSER_PORT" >> "$HOME/witness"\n'
                                          'sleep "$(cat "$1")"\n')
        self.config = {
            "zone": {"path": self.ground.zone, "settle": "100ms", "rescan": "200ms"},
            "log": {"data": os.path.join(self.root, "data")},
            "job": {"exec": ["bash", script, "{file}"], "needs_browser": True, "backoff": {"initial": "100ms"}, "max_losses": 9},
            "worker": {"in_process_thread_count": workers},
            "browser": dict({"enabled": True, "args": SETTINGS, "port_base": self.base, "restart_backoff": "0s",
                             "profile_dir": os.path.join(self.root, "browser/{worker}")}, **browser),
            "health": {"heartbeat_interval": "1s"},
            "api": {"listen": self.api[7:]},
            "metrics": {"listen": "off"},
        }
        self.program = Program(self.root, os.path.join(self.root, "messages"))

    def messages(self):
        with open(self.program.log) as f:
            return f.read()

    def start(self):
        path = os.path.join(self.root, "laneway.json")
        with open(path, "w") as f:
            json.dump(self.config, f)
        environment = dict(os.environ, HOME=self.root)
        environment.pop("DISPLAY", None)
        self.log = open(self.program.log, "a")
        self.process = subprocess.Popen([BINARY, "up", "--config", path], cwd=self.root, env=environment, stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log)

    def start_again(self):
        """Until its browsers are ready for this process: what the API says first is what the log knows of the one before."""
        before = {n: len(self.lines(n)) for n in range(1, self.workers + 1)}
        self.start()
        for n, count in before.items():
            wait_for(lambda: self.said(n, "Browser Ready", count), 60, "%s has a browser again" % self.name(n))
            self.ready(n)

    def stop(self, how=signal.SIGTERM, seconds=40):
        self.process.send_signal(how)
        return self.process.wait(seconds)

    def name(self, n):
        return "DTF-%02d" % n

    def worker(self, n):
        with urllib.request.urlopen("%s/api/v1/workers/%s" % (self.api, self.name(n)), timeout=5) as answer:
            return json.load(answer)

    def ready(self, n, seconds=60, generation=None):
        def is_ready():
            try:
                worker = self.worker(n)
            except OSError:
                return None
            known = generation is None or worker["browser_generation"] == generation
            return worker if worker["browser_connected"] and known else None
        return wait_for(is_ready, seconds, "%s has a browser%s" % (self.name(n), "" if generation is None else " of start %d" % generation), 0.02)

    def browser(self, n):
        """The pid of a worker's browser: the one that listens, not its helpers."""
        for pid, command in processes_of(self.root).items():
            if "--remote-debugging-port=%d" % (self.base + n - 1) in command and "--type=" not in command and "__browser" not in command:
                return pid
        return None

    def keepers(self):
        return [pid for pid, command in processes_of(self.root).items() if "__browser_keeper" in command]

    def lines(self, n):
        try:
            with open(os.path.join(self.ground.zone, "logs", self.name(n), "worker.log")) as f:
                return [(line.split(" ", 1)[0], line.split(" – ", 1)[1].strip()) for line in f if " – " in line]
        except FileNotFoundError:
            return []

    def said(self, n, text, since=0):
        return [line for line in self.lines(n)[since:] if line[1].startswith(text)]

    def put(self, name, seconds="0"):
        part = os.path.join(self.root, name)
        with open(part, "w") as f:
            f.write(seconds + "\n")
        os.rename(part, os.path.join(self.ground.place("incoming"), name))

    def witness(self):
        with open(self.ground.witness) as f:
            return [line.split() for line in f]

    def remove(self):
        self.ground.remove()


def zombies(parent_of):
    found = 0
    for entry in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(entry) as f:
                fields = f.read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        found += fields[0] == "Z" and int(fields[1]) in parent_of
    return found


def killed_and_hung(failures):
    fleet = BrowserFleet()
    fleet.start()
    for n in (1, 2):
        fleet.ready(n)
        failures.check(fleet.said(n, "Browser Ready (Browser %d)" % (fleet.base + n - 1)), "%s says that it is ready" % fleet.name(n))

    # A task runs in the browser that is killed: it is stopped and runs elsewhere, or here again; the other worker is not affected.
    for name in ("a", "b"):
        fleet.put(name, "4")
    wait_for(lambda: len(fleet.witness()) == 2, 20, "both tasks run")
    failures.check(sorted(int(line[2]) for line in fleet.witness()) == [fleet.base, fleet.base + 1], "each script has its worker's port")
    fleet.put("c", "0")
    at = time.monotonic()
    os.kill(fleet.browser(1), signal.SIGKILL)
    wait_for(lambda: fleet.said(1, "Browser Disconnected (Browser %d)" % fleet.base), 5, "the loss is noticed", 0.01)
    noticed = time.monotonic() - at
    fleet.ready(1, generation=2)
    ready = time.monotonic() - at
    # 0.1 s on a quiet machine, 1.04 s seen where every core was taken. Below what a hang needs: the dropped connection was what told it.
    failures.check(noticed <= 2.5, "a killed browser is noticed at once: %.2f s" % noticed)
    failures.check(ready <= 10, "ready again within 10 s: %.2f s" % ready)
    failures.check(fleet.said(1, "Browser Restored"), "the return is told")
    wait_for(lambda: len(fleet.ground.files("completed")) == 3, 60, "all files are done")
    failures.check(fleet.said(1, "Task Failed (browser gone"), "the task's end says why")
    failures.check(not fleet.said(2, "Browser Disconnected"), "the other worker keeps its browser")
    print("killed: noticed after %.2f s, ready again after %.2f s" % (noticed, ready))

    at = time.monotonic()
    hung = fleet.browser(2)
    os.kill(hung, signal.SIGSTOP)
    wait_for(lambda: fleet.said(2, "Browser Session Timeout"), 12, "the hang is noticed", 0.01)
    noticed = time.monotonic() - at
    fleet.ready(2, generation=2)
    ready = time.monotonic() - at
    failures.check(noticed <= 5.5, "a hung browser is noticed within 5 s: %.2f s" % noticed)
    failures.check(ready <= 20, "and replaced: %.2f s" % ready)
    failures.check(fleet.browser(2) != hung, "by another")
    print("hung: noticed after %.2f s, ready again after %.2f s" % (noticed, ready))

    # Its worker is killed: the browser lives on, and is the same one afterwards.
    before = [fleet.browser(n) for n in (1, 2)]
    fleet.stop(signal.SIGKILL)
    fleet.start_again()
    failures.check([fleet.worker(n)["browser_generation"] for n in (1, 2)] == [2, 2], "nothing was started anew")
    failures.check([fleet.browser(n) for n in (1, 2)] == before, "a restarted worker adopts its browser")

    # Its keeper is killed: the browser goes with it, and another comes.
    keepers = fleet.keepers()
    failures.check(len(keepers) == 2, "one keeper a browser: %s" % keepers)
    os.kill(keepers[0], signal.SIGKILL)
    wait_for(lambda: len(fleet.keepers()) == 2 and keepers[0] not in fleet.keepers(), 20, "another keeper")
    for n in (1, 2):
        fleet.ready(n)

    # A keeper that is stopped when its worker starts again is killed, and does not keep the worker from a browser.
    stopped = fleet.keepers()[0]
    os.kill(stopped, signal.SIGSTOP)
    fleet.stop(signal.SIGKILL)
    fleet.start_again()
    failures.check(stopped not in fleet.keepers(), "a keeper that does not answer is replaced")

    # Worker and keepers at once: nothing is adopted, nothing is left. The worker stands still meanwhile, lest it starts another keeper between two kills.
    wait_for(lambda: len(fleet.keepers()) == 2, 20, "one keeper a browser")
    fleet.process.send_signal(signal.SIGSTOP)
    for pid in fleet.keepers():
        os.kill(pid, signal.SIGKILL)
    fleet.stop(signal.SIGKILL)
    wait_for(lambda: not [c for c in processes_of(fleet.root).values() if "chrom" in c], 10, "no browser without a keeper")
    fleet.start_again()

    # Again and again, and nothing piles up.
    sizes, times = [], []
    for i in range(KILLS):
        generation = fleet.worker(1)["browser_generation"]
        at = time.monotonic()
        os.kill(fleet.browser(1), signal.SIGKILL)
        fleet.ready(1, generation=generation + 1)
        times.append(time.monotonic() - at)
        with open("/proc/%d/statm" % fleet.process.pid) as f:
            sizes.append(int(f.read().split()[1]) * 4 // 1024)
    tree = set(processes_of(fleet.root)) | {fleet.process.pid}
    wait_for(lambda: zombies(tree) == 0, 10, "no zombie")
    failures.check(len(fleet.keepers()) == 2, "one keeper a browser after %d kills: %s" % (KILLS, fleet.keepers()))
    failures.check(sizes[-1] <= sizes[0] + 16, "memory stays flat: %s MiB" % sizes)
    folders = sorted(os.listdir(os.path.join(fleet.root, "browser")))
    failures.check(folders == ["DTF-01", "DTF-01.keeper", "DTF-02", "DTF-02.keeper"], "no stray profile: %s" % folders)
    print("%d kills in a row: ready again after %.2f s at most; worker %d -> %d MiB" % (KILLS, max(times), sizes[0], sizes[-1]))

    failures.check(fleet.stop() == 0, "a clean end")
    fleet.ground.no_process_left(failures)
    return fleet


def link(path, target):
    if os.path.lexists(path):
        os.unlink(path)
    os.symlink(target, path)


def refusals(failures):
    """What cannot be started says so, names who is in the way, and goes on when the way is free; other tasks go on meanwhile."""
    fleet = BrowserFleet(workers=1, restart_backoff="100ms")
    other = socket.create_server(("127.0.0.1", fleet.base))
    fleet.start()
    wait_for(lambda: fleet.said(1, "Browser Not Started"), 20, "the refusal is told")
    text = fleet.said(1, "Browser Not Started")[0][1]
    failures.check("port %d is taken by process %d (python3" % (fleet.base, os.getpid()) in text, text)
    note = wait_for(lambda: fleet.worker(1)["browser_note"], 10, "the note")
    failures.check("is taken by" in note, note)
    fleet.put("waits")
    job = {"name": "plain", "handler": "noop", "needs_browser": False}
    request = urllib.request.Request(fleet.api + "/start_job", json.dumps(job).encode(), {"Content-Type": "application/json"})
    id = json.load(urllib.request.urlopen(request))["job_id"]
    wait_for(lambda: json.load(urllib.request.urlopen(fleet.api + "/api/v1/jobs/" + id))["state"] == "SUCCEEDED", 10, "a task without a browser")
    other.close()
    fleet.ready(1)
    wait_for(lambda: fleet.ground.files("completed") == [b"waits"], 20, "the file that waited")

    # Another fleet on the same profile.
    second = BrowserFleet(workers=1, profile_dir=fleet.config["browser"]["profile_dir"])
    second.start()
    wait_for(lambda: second.said(1, "Browser Not Started"), 30, "the refusal is told")
    text = second.said(1, "Browser Not Started")[0][1]
    failures.check("is in use by another worker" in text, text)
    failures.check(second.stop() == 0, "a clean end")
    second.ground.no_process_left(failures)
    second.remove()

    # A lock of a browser that is gone is no obstacle; one on another machine is.
    failures.check(fleet.stop() == 0, "a clean end")
    profile = os.path.join(fleet.root, "browser", "DTF-01")
    lock = os.path.join(profile, "SingletonLock")
    link(lock, "%s-999999" % socket.gethostname())
    fleet.start()
    fleet.ready(1)
    failures.check(fleet.stop() == 0, "a clean end")
    os.unlink(os.path.join(fleet.root, "browser", "DTF-01.keeper", "generation"))
    link(lock, "elsewhere-42")
    fleet.start()
    wait_for(lambda: [l for l in fleet.said(1, "Browser Not Started") if "on elsewhere" in l[1]], 20, "the other machine is named")
    failures.check(fleet.stop() == 0, "a clean end")

    # No program, and one that cannot run.
    for command, text in (("/nowhere/chrome", "is no program that can be started"), ("/bin/false", "it ended with exit 1")):
        fleet.config["browser"]["command"] = command
        link(lock, "%s-999999" % socket.gethostname())
        seen = len(fleet.lines(1))
        fleet.start()
        wait_for(lambda: [l for l in fleet.said(1, "Browser Not Started", seen) if text in l[1]], 20, text)
        failures.check(fleet.stop() == 0, "a clean end")
    fleet.ground.no_process_left(failures)
    return fleet


def recycled(failures):
    """Started again after every second task, never during one, and nobody calls that a loss."""
    fleet = BrowserFleet(workers=1, recycle_tasks=2)
    fleet.start()
    fleet.ready(1)
    for i in range(6):
        fleet.put("f%d" % i, "0.2")
    wait_for(lambda: len(fleet.ground.files("completed")) == 6, 90, "all files are done")
    fleet.ready(1, generation=4)
    failures.check(len(fleet.said(1, "Browser Recycled")) == 3, "recycled three times: %s" % fleet.said(1, "Browser"))
    failures.check(not fleet.said(1, "Browser Disconnected") and not fleet.said(1, "Task Failed"), "nothing was lost: %s" % fleet.lines(1))
    failures.check(len(fleet.witness()) == 6, "each file ran once: %s" % fleet.witness())
    failures.check(fleet.stop() == 0, "a clean end")
    fleet.ground.no_process_left(failures)
    return fleet


def attached(failures):
    """A browser that somebody else started is watched, and neither started nor ended."""
    fleet = BrowserFleet(workers=1, attach=True)
    fleet.start()
    wait_for(lambda: fleet.said(1, "Browser Not Found"), 20, "that there is none yet")

    def start():
        return subprocess.Popen(["chromium", "--headless=new", "--remote-debugging-port=%d" % fleet.base, "--no-first-run",
                                 "--user-data-dir=" + os.path.join(fleet.root, "own")] + SETTINGS, env=dict(os.environ, HOME=fleet.root),
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    browser = start()
    fleet.ready(1, generation=1)
    fleet.put("a", "0")
    wait_for(lambda: fleet.ground.files("completed") == [b"a"], 20, "a file is done")
    os.killpg(browser.pid, signal.SIGKILL)
    browser.wait()
    wait_for(lambda: fleet.said(1, "Browser Disconnected"), 5, "the loss is noticed")
    browser = start()
    fleet.ready(1, generation=2)
    failures.check(fleet.stop() == 0, "a clean end")
    failures.check(browser.poll() is None, "it is left open")
    os.killpg(browser.pid, signal.SIGKILL)
    browser.wait()
    fleet.ground.no_process_left(failures)
    return fleet


def main():
    failures = Failures()
    for part in [globals()[name] for name in os.environ.get("PARTS", "killed_and_hung refusals recycled attached").split()]:
        fleet = None
        try:
            fleet = part(failures)
        except (TimeoutError, OSError, subprocess.TimeoutExpired) as error:
            failures.check(False, "%s: %s: %s" % (part.__name__, type(error).__name__, error))
        if fleet is not None and failures.count == 0:
            fleet.remove()
    failures.end()


if __name__ == "__main__":
    main()
