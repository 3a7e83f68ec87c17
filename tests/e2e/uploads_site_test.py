"""The upload site of examples/uploads and its two scripts, with a real Chromium and without any fleet: who logs in when, what is refused, what the
site writes down.

    uploads_site_test.py build/laneway        (the binary is not used)
"""
import json
import os
import subprocess
import sys
import tempfile
import urllib.request

import fleet as e2e

PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
EXAMPLE = os.path.join(PROJECT, "examples/uploads")
sys.path.append(EXAMPLE)
import support  # noqa: E402

FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--remote-debugging-port=0"]
HEADER = "shift_id,worker_id,date,hours\n"
PATIENCE = 90
# As a person closes it. SIGTERM would lose what it has not written yet: cookies go to the profile every 30 s.
CLOSE = """import { chromium } from 'playwright-core';
const browser = await chromium.connectOverCDP(process.argv[1]);
await (await browser.newBrowserCDPSession()).send('Browser.close').catch(() => {});
process.exit(0);"""
DAY_EARLIER = "2000-01-01T00:00:00.000Z"


class Browser(support.Program):
    def __init__(self, folder):
        self.profile = os.path.join(folder, "profile")
        self.address_file = os.path.join(self.profile, "DevToolsActivePort")
        words = [support.find_browser(), *FLAGS, "--user-data-dir=" + self.profile, "about:blank"]
        super().__init__("browser", words, folder, dict(os.environ, HOME=folder))

    def start(self, out=None):
        if os.path.exists(self.address_file):
            os.remove(self.address_file)
        super().start(out)
        e2e.wait_for(lambda: os.path.exists(self.address_file) and self.answers(), PATIENCE, "the browser answers", step=0.02)

    def close(self):
        subprocess.run(["node", "--input-type=module", "-e", CLOSE, self.url], cwd=EXAMPLE, check=True, timeout=PATIENCE)
        self.process.wait(PATIENCE)

    def answers(self):
        with open(self.address_file) as f:
            self.url = "http://127.0.0.1:" + f.readline().strip()
        try:
            return self.pages() is not None
        except (OSError, ValueError):
            return False

    def pages(self):
        with urllib.request.urlopen(self.url + "/json/list", timeout=10) as answer:
            return [page for page in json.load(answer) if page["type"] == "page"]


class Ground:
    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="laneway-e2e-")
        self.failures = e2e.Failures()
        self.site = support.Site(self.folder, wait_ms=10)
        self.browser = Browser(self.folder)
        self.count = 0

    def file(self, content=None, name=None):
        """A timesheet like no other; its path (bytes)."""
        self.count += 1
        path = os.path.join(os.fsencode(self.folder), name or b"sheet-%d.csv" % self.count)
        with open(path, "w") as f:
            f.write(HEADER + "%d,W1,2026-11-02,8\n" % self.count if content is None else content)
        return path

    def run(self, words, path, worker, expected):
        """Exit code as expected; what it printed, and what the site wrote down meanwhile."""
        before = len(self.lines())
        environment = dict(self.site.environment_of_scripts(), LANEWAY_WORKER=worker, LANEWAY_TASK="J/1", LANEWAY_ATTEMPT="1",
                           LANEWAY_BROWSER_URL=self.browser.url)
        done = subprocess.run([*words, path], cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=PATIENCE)
        self.failures.check(done.returncode == expected, "%s %s of %s: exit %d, expected %d: %s" %
                            (words, path, worker, done.returncode, expected, done.stdout))
        return done.stdout, self.lines()[before:]

    def lines(self):
        if not os.path.exists(self.site.record_file):
            return []
        with open(self.site.record_file) as f:
            return [json.loads(line) for line in f]

    def kinds(self, what, entries, *expected):
        self.failures.check([entry["kind"] for entry in entries] == list(expected), "%s: the site wrote %s" % (what, json.dumps(entries)))

    def end_sessions(self):
        """All logins were long ago: the site, started again, has timed them out."""
        entries = self.lines()
        self.site.stop()
        with open(self.site.record_file, "w") as f:
            for entry in entries:
                f.write(json.dumps(dict(entry, at=DAY_EARLIER)) + "\n")
        self.site.words += ["--session-seconds", "3600"]
        self.site.start()


def check_script(ground, words):
    """What both scripts do, each with a session store of its own."""
    failures = ground.failures
    path = ground.file()
    said, wrote = ground.run(words, path, "DTF-01", 0)
    ground.kinds("first upload", wrote, "login", "upload")
    failures.check("Upload complete: " + wrote[-1].get("id", "?") in said, "said: " + said)
    failures.check(wrote[-1]["sha256"] == support.digest_of(path) and wrote[-1]["reference"] == "J/1.1", "recorded: %s" % wrote[-1])
    _, wrote_again = ground.run(words, ground.file(), "DTF-01", 0)
    ground.kinds("second upload, the same login", wrote_again, "upload")
    failures.check(wrote_again[-1]["session"] == wrote[0]["session"], "another session")

    odd = ground.file(name=b"-rf \"O'Brien\"; \xfc\n.csv")
    _, wrote = ground.run(words, odd, "DTF-01", 0)
    ground.kinds("a careless name", wrote, "upload")
    failures.check(wrote[-1]["sha256"] == support.digest_of(odd), "recorded: %s" % wrote[-1])

    for content, fault in (("", "is empty"), ("a,b\n1,2\n", "no column")):
        said, wrote = ground.run(words, ground.file(content), "DTF-01", 65)
        ground.kinds("bad file", wrote, "refused")
        failures.check(fault in said, "said: " + said)

    ground.site.stop()
    ground.run(words, ground.file(), "DTF-01", 75)
    ground.site.start()
    _, wrote = ground.run(words, ground.file(), "DTF-01", 0)
    ground.kinds("the site was started again", wrote, "upload")

    ground.end_sessions()
    said, wrote = ground.run(words, ground.file(), "DTF-01", 0)
    ground.kinds("session timeout", wrote, "login", "upload")
    failures.check("ogging in" in said, "said: " + said)


def check_browser(ground):
    words = ["node", os.path.join(EXAMPLE, "upload.mjs")]
    check_script(ground, words)
    pages = ground.browser.pages()
    left = [page["url"] for page in pages]
    ground.failures.check(len(left) == 1 and left[0].startswith(ground.site.url), "not the one tab on the site, but: %s" % left)

    said, wrote = ground.run(words, ground.file(), "DTF-02", 1)
    ground.kinds("DTF-02 with the browser of DTF-01", wrote, "session_conflict")
    ground.failures.check(wrote[0]["user"] == "DTF-01" and wrote[0]["worker"] == "DTF-02", "recorded: %s" % wrote)

    ground.end_sessions()
    said, wrote = ground.run(words, ground.file(), "DTF-01", 0)
    ground.failures.check("Session Timeout" in said, "said: " + said)
    ground.browser.close()
    ground.browser.start()
    _, wrote = ground.run(words, ground.file(), "DTF-01", 0)
    ground.kinds("the browser was started again on its profile", wrote, "upload")
    ground.browser.kill()
    ground.run(words, ground.file(), "DTF-01", 1)


def check_no_browser(ground):
    words = ["bash", os.path.join(EXAMPLE, "no-browser.sh")]
    check_script(ground, words)
    sessions = os.path.join(ground.folder, "data/sessions")
    os.rename(os.path.join(sessions, "DTF-01.cookies"), os.path.join(sessions, "DTF-02.cookies"))
    _, wrote = ground.run(words, ground.file(), "DTF-02", 1)
    ground.kinds("DTF-02 with the cookie of DTF-01", wrote, "session_conflict")


def main():
    support.install_script()
    for check in (check_browser, check_no_browser):
        ground = Ground()
        ground.site.start()
        ground.browser.start()
        try:
            check(ground)
        except (OSError, TimeoutError, subprocess.TimeoutExpired, LookupError) as error:
            ground.failures.check(False, "%s: %r" % (check.__name__, error))
        finally:
            ground.browser.stop()
            ground.site.stop()
        if ground.failures.count:
            print("kept: " + ground.folder)
            ground.failures.end()
        e2e.shutil.rmtree(os.fsencode(ground.folder), ignore_errors=True)
    ground.failures.end()


if __name__ == "__main__":
    main()
