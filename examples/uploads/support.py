"""What `run`, `failover` and the test share: tools, the folder of one run, the site, the timesheets, and the proof by the site's own record."""
import ctypes
import hashlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
PROJECT = os.path.dirname(os.path.dirname(HERE))
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PR_SET_PDEATHSIG = 1


def fail(code, what, *remedies):
    print("error: " + what, *("       " + remedy for remedy in remedies), sep="\n", file=sys.stderr)
    sys.exit(code)


def wait_for(condition, seconds, what, step=0.02):
    """What condition() gave as soon as it is true."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError("not within %g s: %s" % (seconds, what))
        time.sleep(step)
    return value


def free_ports(count):
    """Different ones, below those that the system gives to whoever connects: who is started again must find its port free."""
    sockets = []
    try:
        while len(sockets) < count:
            sockets.append(socket.socket())
            try:
                sockets[-1].bind(("127.0.0.1", 10000 + secrets.randbelow(20000)))
            except OSError:
                sockets.pop().close()
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def free_row(first, count):
    """The first of so many ports in a row that nobody listens on."""
    def taken(port):
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", port)) == 0
    while any(taken(port) for port in range(first, first + count)):
        first += count
    return first


# The tools.

def find_browser():
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def prepare(binary, browser=True):
    """What must be there; playwright-core is fetched once. The binary's absolute path."""
    binary = os.path.abspath(binary)
    if not os.access(binary, os.X_OK):
        fail(2, "there is no %s" % binary, "./quickstart --build-only builds it; --binary names another one")
    for program, package in (("node", "nodejs"),) + ((("npm", "npm"),) if browser else ()):
        if not shutil.which(program):
            fail(2, "%s is not installed" % program, "apt-get install " + package)
    if browser and not find_browser():
        fail(2, "no Chromium or Chrome is installed", "apt-get install chromium")
    if browser:
        install_script()
    return binary


def browser_settings():
    """As root a browser starts only without its sandbox; here it sees nothing but the example's own site."""
    return ['browser.args=["--no-sandbox"]'] if os.geteuid() == 0 else []


def install_script():
    """playwright-core, exactly the one that package-lock.json names."""
    with open(os.path.join(HERE, "package.json")) as f:
        wanted = json.load(f)["dependencies"]["playwright-core"]
    try:
        with open(os.path.join(HERE, "node_modules/playwright-core/package.json")) as f:
            if json.load(f)["version"] == wanted:
                return
    except (OSError, ValueError):
        pass
    done = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=HERE, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        fail(1, "npm ci failed in " + HERE, *done.stdout.splitlines()[-10:])


def new_folder(kind, top=None):
    """build/uploads/<kind>-<n>, as a user's folder would be: configuration, scripts and what they need. What earlier runs left is not touched."""
    top = top or os.path.join(PROJECT, "build/uploads")
    n = 1
    while True:
        folder = os.path.join(top, "%s-%d" % (kind, n))
        try:
            os.makedirs(folder)
            break
        except FileExistsError:
            n += 1
    for name in ("laneway.json", "upload.mjs", "no-browser.sh"):
        shutil.copy(os.path.join(HERE, name), folder)
    os.symlink(os.path.join(HERE, "node_modules"), os.path.join(folder, "node_modules"))
    return folder


class Program:
    """A process that ends with us. Its messages go to a file."""

    def __init__(self, name, words, folder, environment):
        self.name, self.words, self.folder, self.environment = name, words, folder, environment
        self.log = os.path.join(folder, name + ".log")
        self.process = None

    def start(self, out=None):
        def end_with_parent():
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.words, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
                                            stdout=out or log, stderr=log, preexec_fn=end_with_parent)
        return self.process

    def running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self, seconds=60):
        """SIGTERM; its exit code, or nothing when it had to be killed."""
        if not self.running():
            return self.process and self.process.returncode
        self.process.terminate()
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def last_messages(self, size=2000):
        with open(self.log, "rb") as f:
            return f.read()[-size:].decode("utf-8", "replace")


class Site(Program):
    def __init__(self, folder, wait_ms=1000, session_seconds=None):
        self.password = secrets.token_hex(8)
        self.record_file = os.path.join(folder, "site.jsonl")
        self.port = free_ports(1)[0]
        words = ["node", os.path.join(HERE, "site.mjs"), "--port", str(self.port), "--record", self.record_file, "--wait-ms", str(wait_ms)]
        if session_seconds is not None:
            words += ["--session-seconds", str(session_seconds)]
        super().__init__("site", words, folder, dict(os.environ, UPLOAD_PASSWORD=self.password))
        self.url = "http://127.0.0.1:%d" % self.port

    def start(self, out=None):
        super().start(out)
        wait_for(self.answers, 30, "the site answers")

    def answers(self):
        if not self.running():
            fail(1, "the site ended:", self.last_messages())
        try:
            return self.get("/healthz") == b"ok\n"
        except OSError:
            return False

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return answer.read()

    def record(self, *kinds):
        """What the site has written down, in order."""
        return [entry for entry in json.loads(self.get("/record")) if not kinds or entry["kind"] in kinds]

    def environment_of_scripts(self):
        """What laneway is started with, so that scripts find the site."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("LANEWAY_")}
        return dict(own, UPLOAD_URL=self.url, UPLOAD_PASSWORD=self.password)


# The files, and what became of them.

def digest_of(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def files_below(folder):
    """Paths (bytes: names need not be UTF-8), in a fixed order."""
    return sorted(os.path.join(base, name) for base, _, names in os.walk(os.fsencode(folder)) for name in names)


def make_timesheets(count, folder):
    """No two alike: a digest names one of them."""
    subprocess.run([os.path.join(PROJECT, "examples/timesheets/make-timesheets"), "--count", str(count), "--seed", "1", folder], check=True,
                   stdout=subprocess.DEVNULL)
    for path in set(files_below(folder)) - set(digests_below(folder).values()):
        os.remove(path)


def digests_below(folder):
    """digest → path of each file."""
    return {digest_of(path): path for path in files_below(folder)}


def readable(path):
    return os.fsencode(path).decode("utf-8", "backslashreplace").replace("\n", "\\n")


class Proof:
    """Every file uploaded, none under another's session, each in its place: by the site's record and the zone's folders.

    `given`: digest → path of what was put into incoming/. `succeeded(reference)`: whether this attempt (task.attempt) is the accepted one; without
    it every file must have been uploaded exactly once."""

    def __init__(self, record, given, zone, succeeded=None):
        self.findings = []
        self.uploads, self.refused, self.logins = {}, {}, {}
        for entry in record:
            if entry["kind"] == "login":
                self.logins[entry["session"]] = entry["user"]
            elif entry["kind"] in ("upload", "refused"):
                self.by_own_session(entry)
                there = self.uploads if entry["kind"] == "upload" else self.refused
                there.setdefault(entry["sha256"], []).append(entry)
            else:
                self.find("%s: %s" % (entry["kind"], json.dumps(entry)))
        self.places = {place: set(digests_below(os.path.join(zone, place))) & set(given)
                       for place in ("incoming", "processing", "completed", "failed", "quarantine")}
        for digest, path in given.items():
            self.judge_file(digest, readable(os.path.basename(path)))
        for digest in (set(self.uploads) | set(self.refused)) - set(given):
            self.find("the site has a file that was never given: " + digest)
        self.twice = {digest: entries for digest, entries in self.uploads.items() if len(entries) > 1}
        for digest, entries in self.twice.items():
            self.judge_twice(readable(os.path.basename(given.get(digest, b"?"))), entries, succeeded)

    def find(self, what):
        self.findings.append(what)

    def by_own_session(self, entry):
        owner = self.logins.get(entry["session"])
        if owner != entry["worker"]:
            self.find("%s was uploaded by %s under a session of %s" % (entry["name"], entry["worker"], owner))

    def judge_file(self, digest, name):
        at = [place for place, there in self.places.items() if digest in there]
        if len(at) != 1:
            self.find("%s is in %s" % (name, " and ".join(at) or "no folder: lost"))
        elif at[0] == "completed" and digest not in self.uploads:
            self.find("%s is in completed/ and was never uploaded" % name)
        elif at[0] == "quarantine" and digest not in self.refused:
            self.find("%s is in quarantine/ and the site did not refuse it" % name)
        elif at[0] not in ("completed", "quarantine"):
            self.find("%s has not been uploaded: it is in %s/" % (name, at[0]))

    def judge_twice(self, name, entries, succeeded):
        accepted = [entry for entry in entries if succeeded is None or succeeded(entry["reference"])]
        if len(accepted) > 1:
            self.find("%s was uploaded %d times without a failure between" % (name, len(accepted)))

    def summary(self):
        per_worker = {}
        for entries in self.uploads.values():
            for entry in entries:
                per_worker[entry["worker"]] = per_worker.get(entry["worker"], 0) + 1
        return "%d files uploaded (%s), %d refused as bad; %d logins; none under another's session" % (
            len(self.uploads), ", ".join("%s %d" % one for one in sorted(per_worker.items())), len(self.refused), len(self.logins))
