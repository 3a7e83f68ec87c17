"""`laneway report` on real runs: the same files by one worker and by three, a failure that is tried again, and a fleet that still runs.

    FILES=12 report_test.py build/laneway
"""
import html.parser
import json
import os
import subprocess

import fleet as e2e

FILES = int(os.environ.get("FILES", "12"))
NAME = "<script>alert(1)<b> & | `x`.csv"
# Each file takes about 0.3 s, whatever the machine does meanwhile; one fails once, one is bad input.
SCRIPT = """case "$1" in
*retry*) if [ ! -e "$HOME/tried" ]; then : > "$HOME/tried"; echo "<img src=x> no"; exit 3; fi ;;
*bad*) exit 65 ;;
esac
sleep 0.3
"""
failures = e2e.Failures()


def run(workers, names):
    fleet = e2e.Fleet(settings=["worker.in_process_thread_count=%d" % workers, "job.backoff.initial=50ms", "zone.settle=100ms"])
    fleet.script(SCRIPT)
    for name in names:
        with open(os.path.join(fleet.place("incoming"), name), "w") as f:
            f.write("x")
    code = fleet.until_idle(120)
    failures.check(code == 1, "a fleet with a dead task ends with %s" % code)
    return fleet


def report(fleet, *words):
    return subprocess.run([e2e.BINARY, "report"] + list(words), stdin=subprocess.DEVNULL, capture_output=True, cwd=fleet.root,
                          env=fleet.environment(), timeout=60)


def check_figures(three, one):
    got = report(three, "--data", three.data, "--against", one.data, "--format", "json")
    failures.check(got.returncode == 0, "report: exit %d, %s" % (got.returncode, e2e.printable(got.stderr)))
    figures = json.loads(got.stdout)
    files = figures["files"]
    failures.check((files["submitted"], files["succeeded"], files["failed"], files["open"]) == (FILES, FILES - 1, 1, 0), "files: %s" % files)
    failures.check(figures["retries"] == 1, "retries: %s" % figures["retries"])
    failures.check(sum(w["succeeded"] for w in figures["workers"]) == FILES - 1, "the workers' sum: %s" % figures["workers"])
    done = sum(sum(bucket["done"].values()) for bucket in figures["timeline"]["buckets"])
    failures.check(done == FILES - 1, "over time %d were done" % done)
    failures.check(figures["duration_ms"]["p50"] >= 300, "duration: %s" % figures["duration_ms"])
    kinds = figures["incidents"]["by_kind"]
    failures.check(kinds["retry"]["count"] == 1 and kinds["dead"]["count"] == 1, "incidents: %s" % kinds)
    failures.check(figures["failures"] == {"exit 3": 1, "bad input": 1}, "failures: %s" % figures["failures"])
    comparison = figures["comparison"]
    failures.check(comparison["same_files"] is True, "the same files are not recognised: %s" % comparison)
    failures.check([r["workers"] for r in comparison["runs"]] == [1, 3], "workers: %s" % comparison)
    speed_up = comparison["runs"][1]["speed_up"]
    failures.check(1.5 < speed_up < 3.5, "three workers are %.2f times as fast as one" % speed_up)


class Balance(html.parser.HTMLParser):
    """Every element is closed, in order; scripts and what would be fetched are noted."""
    VOID = {"meta", "line", "rect", "path"}

    def __init__(self):
        super().__init__()
        self.open, self.wrong = [], []

    def handle_starttag(self, tag, attributes):
        if tag in ("script", "img", "link", "iframe"):
            self.wrong.append("<%s>" % tag)
        if tag != "meta":
            self.open.append(tag)
        self.wrong += [name for name, _ in attributes if name in ("src", "href") or name.startswith("on")]

    def handle_startendtag(self, tag, attributes):
        self.wrong += [name for name, _ in attributes if name in ("src", "href") or name.startswith("on")]

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append("</%s>" % tag)


def check_writing(three, one):
    to = os.path.join(three.root, "report.html")
    got = report(three, "--data", three.data, "--against", one.data, "--to", to)
    failures.check(got.returncode == 0 and not got.stdout, "--to: exit %d, %s" % (got.returncode, e2e.printable(got.stderr)))
    with open(to, encoding="utf-8") as f:
        text = f.read()
    page = Balance()
    page.feed(text)
    failures.check(not page.wrong and not page.open, "HTML: %s, open %s" % (page.wrong[:5], page.open))
    failures.check("All runs had the same %d files" % FILES in text, "the HTML does not say that the files are the same")
    got = report(three, "--data", three.data)
    markdown = got.stdout.decode()
    failures.check(got.returncode == 0 and "3 workers finished %d of %d files" % (FILES - 1, FILES) in markdown, "Markdown: %s" % markdown[:500])
    failures.check("<img" not in markdown and "<script" not in markdown, "Markdown holds markup of others")


def check_mistakes(fleet):
    """Each ends with its code, and says what to do."""
    kafka = os.path.join(fleet.root, "role")
    os.makedirs(os.path.join(kafka, "store"))
    for words, code, wanted in (
            (["--data", os.path.join(fleet.root, "nowhere")], 3, "give --data FOLDER"),
            (["--data", kafka], 3, "--brokers"),
            (["--data", fleet.data, "--since", "soon"], 2, "give a time"),
            (["--data", fleet.data, "--until", "2020-01-01"], 1, "no job is recorded"),
            (["--data", fleet.data, "--format", "htm"], 2, "html"),
            (["--data", fleet.data, "--to", os.path.join(fleet.root, "none", "x.html")], 1, "another --to")):
        got = report(fleet, *words)
        said = e2e.printable(got.stderr)
        failures.check(got.returncode == code and wanted in said, "%s: exit %d instead of %d; it says %s" % (words, got.returncode, code, said))
        failures.check(not got.stdout, "%s: stdout holds %s" % (words, e2e.printable(got.stdout[:200])))


def check_running(fleet):
    """Beside the fleet that writes the log: as of now, and nobody is disturbed."""
    fleet.start()
    fleet.wait_started()
    with open(os.path.join(fleet.place("incoming"), "late.csv"), "w") as f:
        f.write("x")
    e2e.wait_for(lambda: b"late.csv" in fleet.files("completed"), 30, "the file is done")
    got = report(fleet, "--data", fleet.data, "--format", "json")
    failures.check(got.returncode == 0, "beside a running fleet: exit %d, %s" % (got.returncode, e2e.printable(got.stderr)))
    failures.check(json.loads(got.stdout)["files"]["submitted"] == FILES + 1, "the new file is not in the report")
    failures.check(fleet.stop() == 0, "the fleet was disturbed")


def main():
    names = [NAME, "retry.csv", "bad.csv"] + ["file %d.csv" % n for n in range(3, FILES)]
    one, three = run(1, names), run(3, names)
    check_figures(three, one)
    check_writing(three, one)
    check_mistakes(three)
    check_running(three)
    if failures.count == 0:
        one.remove()
    failures.end(three)


main()
