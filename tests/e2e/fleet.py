"""What the end-to-end tests share: the real binary as a process, folders, witnesses, and a checker that uses no code of the product.

A Fleet is one `laneway up` with a zone and a data folder; kafka_fleet.py has a fleet of many processes. HOME is the root folder, also for every
script that is started: by that leftovers are found in /proc, and by that scripts find their witness file. Nothing here sleeps blindly: wait_for()
looks for a condition until a deadline.
"""
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

FAST = os.environ.get("LANEWAY_FAST") == "1"
BINARY = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else ""
PLACES = ("completed", "failed", "quarantine")
SKIPPED = 77  # ctest's SKIP_RETURN_CODE: only for what tests/expected-skips.txt names


class Failures:
    """Findings are gathered, so that one run tells all of them."""

    def __init__(self):
        self.count = 0

    def check(self, good, what):
        if not good:
            self.count += 1
            if self.count <= 40:
                print("FAILED: " + printable(what), flush=True)
        return good

    def end(self, fleet=None):
        if self.count and fleet is not None:
            print("--- the last messages of laneway ---\n" + printable(fleet.messages()[-6000:]))
            print("kept: " + fleet.root)
        elif fleet is not None:
            fleet.remove()
        print("%s: %s" % (os.path.basename(sys.argv[0]), "ok" if self.count == 0 else "%d failures" % self.count))
        sys.exit(1 if self.count else 0)


def printable(text):
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def wait_for(condition, seconds, what, step=0.005):
    """What condition() gave as soon as it is true; ends the test at the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError("not within %g s: %s" % (seconds, what))
        time.sleep(step)


def processes_of(root):
    """Every live process that was started with this HOME, or in this folder: pid → command line."""
    found = {}
    wanted = b"HOME=" + os.fsencode(root)
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            with open("/proc/%s/environ" % entry, "rb") as f:
                if wanted not in f.read().split(b"\0") and os.readlink("/proc/%s/cwd" % entry) != root:
                    continue
            with open("/proc/%s/cmdline" % entry, "rb") as f:
                found[int(entry)] = f.read().replace(b"\0", b" ").decode("utf-8", "backslashreplace")
        except OSError:
            continue  # it has ended meanwhile, or is a zombie
    return found


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        for block in iter(lambda: f.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def files_below(folder):
    """Paths (bytes) of everything below that is no folder, relative to it."""
    found = []
    top = os.fsencode(folder)
    for base, folders, names in os.walk(top):
        for name in names + [d for d in folders if os.path.islink(os.path.join(base, d))]:
            found.append(os.path.relpath(os.path.join(base, name), top))
    return found


class Ground:
    """The folders of one test: a zone, the scripts' witness file, and HOME of all that is started."""

    def __init__(self, root=None, zone=None):
        self.root = root or tempfile.mkdtemp(prefix="laneway-e2e-")
        self.zone = zone or os.path.join(self.root, "zone")
        self.witness = os.path.join(self.root, "witness")
        for place in ("incoming",) + PLACES:
            os.makedirs(os.path.join(self.zone, place), exist_ok=True)
        open(self.witness, "a").close()

    def write_script(self, text):
        path = os.path.join(self.root, "process.sh")
        with open(path, "w") as f:
            f.write(text)
        return path

    def files(self, place):
        return files_below(os.path.join(self.zone, place))

    def place(self, name):
        return os.path.join(self.zone, name)

    def no_process_left(self, failures, seconds=15):
        try:
            wait_for(lambda: not processes_of(self.root), seconds, "no process left")
        except TimeoutError:
            failures.check(False, "processes left: %s" % processes_of(self.root))
            for pid in processes_of(self.root):
                os.kill(pid, signal.SIGKILL)

    def remove(self):
        shutil.rmtree(os.fsencode(self.root), ignore_errors=True)


class Program:
    """One process of the real binary. Its messages go to a file that outlives it."""

    def __init__(self, root, log):
        self.root, self.log, self.process = root, log, None
        open(self.log, "a").close()

    def environment(self):
        kept = {k: v for k, v in os.environ.items() if not k.startswith("LANEWAY_")}
        return dict(kept, HOME=self.root)

    def launch(self, words, out=subprocess.DEVNULL, preexec=None):
        self.messages_before = os.path.getsize(self.log)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=log,
                                            env=self.environment(), cwd=self.root, preexec_fn=preexec)
        return self.process

    def started(self):
        return "Fleet started" in self.messages(since_start=True) or self.process.poll() is not None

    def wait_started(self, seconds=20):
        wait_for(self.started, seconds, "Fleet started")

    def stop(self, seconds=60):
        """SIGTERM, as an operator would."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def messages(self, since_start=False):
        with open(self.log, "rb") as f:
            if since_start:
                f.seek(self.messages_before)
            return f.read().decode("utf-8", "surrogateescape")


class Fleet(Ground, Program):
    def __init__(self, root=None, settings=(), zone=None, data=None):
        Ground.__init__(self, root, zone)
        Program.__init__(self, self.root, os.path.join(self.root, "messages"))
        self.data = data or os.path.join(self.root, "data")
        self.settings = list(settings)
        self.work = []  # --exec … or --handler …
        self.listen = "off"

    def script(self, text, *arguments):
        self.work = ["--exec", "/bin/sh", self.write_script(text), "{file}"] + list(arguments)

    def command(self, *flags):
        words = [BINARY, "up", "--zone", self.zone, "--data", self.data, "--listen", self.listen, "--set", "metrics.listen=off"]
        for setting in self.settings:  # a later one counts
            words += ["--set", setting]
        return words + list(flags) + self.work

    def start(self, *flags, preexec=None):
        with open(os.path.join(self.root, "summary"), "wb") as out:
            return self.launch(self.command(*flags), out, preexec)

    def companions(self):
        return [pid for pid, line in processes_of(self.root).items() if "__companion" in line]

    def until_idle(self, seconds):
        """Exit code of a whole `up --until-idle`; at the deadline it is killed and the code is None."""
        self.start("--until-idle")
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def summary(self):
        with open(os.path.join(self.root, "summary"), errors="surrogateescape") as f:
            return f.read()
