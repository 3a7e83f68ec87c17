"""The fleet that `failover` breaks: its processes, its browsers, and what can be seen of it from outside: the API, the workers' logs, /proc.

As one process (`laneway up`), or as processes of its own for each role on Kafka. Only browsers whose profile lies in this run's folder are ever
looked at."""
import calendar
import json
import os
import re
import signal
import time
import urllib.error
import urllib.request

import support

LINE = re.compile(r"^(\S+)Z (\S+) – (.*)$")
REQUEST_SECONDS = 5
TOPIC_TRIES = 5


def seconds_of(text):
    """2026-11-21T06:15:02.123 → seconds since 1970."""
    return calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")) + float(text[19:] or 0)


class Fleet:
    def __init__(self, binary, folder, site, workers, brokers, browsers=True, settings=()):
        self.binary, self.folder, self.site, self.brokers, self.browsers = binary, folder, site, brokers, browsers
        self.zone = os.path.join(folder, "dispatch")
        self.profiles = os.path.join(folder, "browser")
        self.workers = ["DTF-%02d" % n for n in range(1, workers + 1)]
        self.api_port, *self.ports = support.free_ports(6)
        self.browser_port = support.free_row(9222, workers * workers)
        self.settings = list(settings) + ["log.prefix=uploads%d." % os.getpid(), "browser.profile_dir=" + os.path.join(self.profiles, "{worker}")]
        self.settings += support.browser_settings()
        if not browsers:
            self.settings += ["browser.enabled=false", "job.needs_browser=false"]
        self.work = [] if browsers else ["--exec", "bash", "no-browser.sh", "{file}"]
        self.programs = {}
        self.make_programs()

    # Its processes.

    def make_programs(self):
        listen = ["--listen", "127.0.0.1:%d" % self.api_port]
        if not self.brokers:
            port = ["browser.port_base=%d" % self.browser_port, "metrics.listen=off"]
            self.add("up", ["up", "--workers", str(len(self.workers)), *listen], port, self.work)
            return
        for n, name in enumerate(("dispatcher-1", "dispatcher-2")):
            self.add(name, ["run", "dispatcher", "--zone", self.zone], ["metrics.listen=127.0.0.1:%d" % self.ports[n]], self.work)
        for name in ("reaper-1", "reaper-2"):
            self.add(name, ["run", "reaper"], ["metrics.listen=off"])
        self.add("api", ["run", "api", *listen], ["metrics.listen=off"])
        for n, name in enumerate(self.workers):
            # Far enough from each other for whatever number a worker adds to its base.
            port = ["browser.port_base=%d" % (self.browser_port + len(self.workers) * n), "metrics.listen=off"]
            self.add(name, ["run", "worker", "--zone", self.zone, "--id", name], port)

    def add(self, name, words, settings, work=()):
        command = [self.binary, *words, "--config", "laneway.json", "--data", os.path.join(self.folder, "data", name)]
        if self.brokers:
            command += ["--brokers", self.brokers]
        for setting in self.settings + settings:
            command += ["--set", setting]
        self.programs[name] = support.Program(name, command + list(work), self.folder, self.site.environment_of_scripts())

    def start(self):
        if self.brokers:
            self.ensure_topics()
        for program in self.programs.values():
            program.start()
        support.wait_for(self.all_ready, 90, "all workers are up" + (" and have their browsers" if self.browsers else ""))

    def ensure_topics(self):
        words = [self.binary, "topics", "ensure", "--brokers", self.brokers, "--config", "laneway.json"]
        for setting in self.settings:
            words += ["--set", setting]
        topics = support.Program("topics", words, self.folder, self.site.environment_of_scripts())
        for _ in range(TOPIC_TRIES):  # a busy broker may not know yet of a topic that it has just made
            if topics.start().wait(60) == 0:
                return
        support.fail(1, "the topics cannot be made:", topics.last_messages())

    def all_ready(self):
        for program in self.programs.values():
            if not program.running():
                support.fail(1, "%s ended with %s:" % (program.name, program.process.returncode), program.last_messages())
        return all(self.ready(name) for name in self.workers)

    def process_of(self, worker):
        return self.programs[worker if self.brokers else "up"]

    def stop(self):
        """All at once; findings."""
        findings = []
        for program in self.programs.values():
            if program.running():
                program.process.send_signal(signal.SIGTERM)
        for program in self.programs.values():
            code = program.stop()
            if code != 0:
                findings.append("%s ended with %s after SIGTERM" % (program.name, code))
        try:
            support.wait_for(lambda: not self.browser_processes(), 30, "no browser is left")
        except TimeoutError:
            for pid, line in self.browser_processes().items():
                findings.append("a browser's process is left: %d %s" % (pid, line[:200]))
                self.signal(pid, signal.SIGKILL)
        return findings

    @staticmethod
    def signal(pid, number):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass

    # What the API says.

    def get(self, path):
        """Nothing while the API cannot be reached."""
        try:
            with urllib.request.urlopen("http://127.0.0.1:%d%s" % (self.api_port, path), timeout=REQUEST_SECONDS) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return None if error.code == 404 or error.code >= 500 else support.fail(1, "%s: %d" % (path, error.code))
        except (OSError, ValueError):
            return None

    def worker(self, name):
        return self.get("/api/v1/workers/" + name) or {}

    def state(self, name):
        return self.worker(name).get("state")

    def ready(self, name):
        worker = self.worker(name)
        return worker.get("state") == "UP" and (not self.browsers or worker.get("browser_connected") is True)

    def attempts(self, task):
        job = self.get("/api/v1/jobs/" + task.split("/")[0]) or {}
        return [attempt for one in job.get("task_list", []) if one["task_id"] == task for attempt in one["attempts"]]

    def active_dispatcher(self):
        for n, name in enumerate(("dispatcher-1", "dispatcher-2")):
            try:
                with urllib.request.urlopen("http://127.0.0.1:%d/metrics" % self.ports[n], timeout=REQUEST_SECONDS) as answer:
                    if re.search(rb"^laneway_dispatcher_active(\{.*\})? 1", answer.read(), re.M):
                        return name
            except OSError:
                continue
        return None

    # What the workers write.

    def lines(self, worker, since=0.0):
        """(time, text) of each line of its worker.log since then."""
        found = []
        for name in ("worker.log.1", "worker.log"):
            try:
                with open(os.path.join(self.zone, "logs", worker, name), encoding="utf-8", errors="replace") as log:
                    for line in log:
                        parts = LINE.match(line)
                        if parts and seconds_of(parts[1]) >= since:
                            found.append((seconds_of(parts[1]), parts[3].rstrip()))
            except OSError:
                continue
        return found

    def first_line(self, worker, pattern, since):
        return next((at for at, text in self.lines(worker, since) if re.search(pattern, text)), None)

    def running(self, worker):
        """(time, job id) of the start of what it runs now, or nothing."""
        started = None
        for at, text in self.lines(worker):
            if text.startswith("Task Started"):
                started = at, re.search(r" job=(\S+)", text)[1]
            elif re.match(r"(?:Upload|Task) (?:Success|Failed)|Worker (?:Lost|Returned)", text):
                started = None
        return started

    def any_line(self, pattern, since, workers=None):
        times = [self.first_line(worker, pattern, since) for worker in workers or self.workers]
        return min((at for at in times if at is not None), default=None)

    # The browsers, as the system sees them.

    def browser_processes(self, worker=None):
        """pid → command line of all that use a profile in this run's folder."""
        wanted = "--user-data-dir=" + (os.path.join(self.profiles, worker) + " " if worker else self.profiles + "/")
        found = {}
        for entry in os.listdir("/proc"):
            try:
                with open("/proc/%d/cmdline" % int(entry), "rb") as f:
                    line = f.read().replace(b"\0", b" ").decode("utf-8", "replace") + " "
            except (OSError, ValueError):
                continue  # no process, or it has ended meanwhile
            if wanted in line:
                found[int(entry)] = line
        return found

    def browser_pid(self, worker):
        """Of the browser itself, not of its pages' processes nor of its keeper."""
        own = [pid for pid, line in self.browser_processes(worker).items()
               if not any(other in line for other in ("--type=", "crashpad", "__browser_keeper"))]
        return min(own, default=None)
