"""Files of every awkward sort, through the builtin copy and through an ordinary script: each ends exactly where it belongs, byte for byte,
and what must be refused is in quarantine/ with the reason in the messages."""
import os
import random
import threading
import time

import fleet as e2e

COUNT = 500 if e2e.FAST else 5000
BIG = (20 if e2e.FAST else 100) << 20
SEED = int(os.environ.get("SEED", "1"))

NAMES = [b"plain.csv", b"two words.csv", b" leading and trailing ", b"new\nline.csv", b"tab\there", b"-rf", b"--help", b"-", b"$(touch pwned)", b"`id`", b"a'b\"c",
         b"back\\slash", b"semi;colon & amp|pipe", b"*?[x]", b"{file} {name}", b"%s%n", b"~", b"a~b.csv", b"caf\xc3\xa9.csv", b"\xe2\x82\xac-\xf0\x9f\x98\x80", b"latin1-\xe9.csv",
         b"\xff\xfe\xfd", b"\x01\x02\x7f", b"CON", b"aux.txt", b"no.ext.at.all.", b"..two", b"..."]
DOT = (b"..two", b"...")  # dot files wait, like unfinished downloads
SCRIPT = r"""#!/bin/sh
case $1 in /*) ;; *) exit 3 ;; esac
sum=$(sha256sum <"$1") || exit 4
cp -- "$1" "$LANEWAY_OUTPUT_DIR/copy" || exit 5
echo "$LANEWAY_TASK $LANEWAY_ATTEMPT ${sum%% *}" >>"$HOME/witness"
"""


class Sample:
    """What was put in, and where each must end."""

    def __init__(self, fleet, rng):
        self.fleet, self.rng = fleet, rng
        self.incoming = os.fsencode(fleet.place("incoming"))
        self.expected = []  # (place, folder, name, digest)
        self.refused = []   # (path, word of the reason)
        self.stay = []      # paths that must still be in incoming/
        self.made = 0

    def put(self, path, content):
        full = os.path.join(self.incoming, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "xb") as f:
            f.write(content)
        self.made += 1
        return full

    def good(self, path, content):
        full = self.put(path, content)
        self.expected.append(("completed", path, e2e.sha256(full)))

    def content(self):
        size = self.rng.choice([0, 1, 4095, 4096, 4097, 20000])
        return b"%d:" % self.made + self.rng.randbytes(size) if size else b""

    def ordinary(self):
        for name in NAMES:
            if name in DOT:
                self.put(name, b"waits")
                self.stay.append(name)
            else:
                self.good(name, self.content())
        self.good(b"n" * 200, b"long")
        self.good("ü".encode() * 90 + b".csv", b"long in bytes")
        self.good(b"/".join([b"d%d" % i for i in range(20)]) + b"/deep.csv", b"deep")
        self.good(b"sub folder\n/-x/\xff/x.csv", b"odd folders")
        for name in (b"film.tmp", b"film.part", b"~$report.docx", b".hidden"):
            self.put(name, b"unfinished")
            self.stay.append(name)
        with open(os.path.join(self.incoming, b"big.bin"), "wb") as f:
            for _ in range(BIG >> 20):
                f.write(self.rng.randbytes(1 << 20))
        self.expected.append(("completed", b"big.bin", e2e.sha256(os.path.join(self.incoming, b"big.bin"))))
        while self.made < COUNT:
            where = self.rng.choice([b"", b"a/", b"b/c/", b"sp ace/"])
            self.good(where + b"%d-" % self.made + self.rng.choice(NAMES).lstrip(b".~"), self.content())

    def refusals(self):
        make = lambda name: os.path.join(self.incoming, name)
        os.symlink("/etc/passwd", make(b"passwd.csv"))
        os.symlink("plain.csv", make(b"link.csv"))
        os.symlink("/nowhere/at/all", make(b"dangling"))
        os.symlink("/etc", make(b"link to folder"))
        for name in (b"passwd.csv", b"link.csv", b"dangling", b"link to folder"):
            self.refused.append((name, "symbolic link"))
        os.mkfifo(make(b"pipe.csv"))
        self.refused.append((b"pipe.csv", "FIFO"))
        self.put(b"hard.csv", b"two names")
        os.link(make(b"hard.csv"), os.path.join(os.fsencode(self.fleet.root), b"other name"))
        self.refused.append((b"hard.csv", "hard links"))
        self.put(b"x" * 255, b"too long a name")
        self.refused.append((b"x" * 255, "longer"))
        if os.geteuid() != 0:
            os.mkdir(make(b"locked"), 0)

    def while_it_runs(self):
        """One name twice over time, and a file that is written slowly."""
        first = b"first of this name"
        self.good(b"again.csv", first)
        slow = os.open(os.path.join(self.incoming, b"slow.csv"), os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        parts = [self.rng.randbytes(1000) for _ in range(20)]
        for part in parts:
            os.write(slow, part)
            time.sleep(0.1)  # a slow writer is what is tested
        os.close(slow)
        self.expected.append(("completed", b"slow.csv", e2e.hashlib.sha256(b"".join(parts)).hexdigest()))
        e2e.wait_for(lambda: not os.path.exists(os.path.join(self.incoming, b"again.csv")), 60, "again.csv is taken")
        self.good(b"again.csv", b"second of this name")


def judge(fleet, sample, failures, output):
    there = {}
    for place in ("processing",) + e2e.PLACES:
        for path in fleet.files(place):
            there[(place, path)] = os.path.join(os.fsencode(fleet.place(place)), path)
    failures.check(sorted(fleet.files("incoming")) == sorted(sample.stay),
                   "incoming/ holds %s, not %s" % (sorted(fleet.files("incoming")), sorted(sample.stay)))
    for place, path, digest in sample.expected:
        folder, _, name = path.rpartition(b"/")
        stem, dot, extension = name.rpartition(b".")
        candidates = [(place, path)]
        candidates += [key for key in there if key[0] == place and b"~" in key[1] and os.path.dirname(key[1]) == folder
                       and key[1].rpartition(b"/")[2].startswith((stem if stem else name) + b"~")]
        found = [key for key in candidates if key in there and e2e.sha256(there[key]) == digest]
        if not failures.check(found, "%r is not in %s as it was" % (path, place)):
            continue
        made = (place, found[0][1] + b".output/" + (output or name))
        copy = there.pop(made, None)
        failures.check(copy is not None and e2e.sha256(copy) == digest, "the output of %r is not there: %r" % (path, made))
        del there[found[0]]
    messages = fleet.messages()
    for path, word in sample.refused:
        key = next((k for k in there if k[0] == "quarantine" and os.path.basename(k[1]).startswith(path[:150])), None)
        if failures.check(key, "%r is not in quarantine/" % path):
            del there[key]
        shown = path.decode("utf-8", "replace")[:100]
        failures.check(any(word in line and shown in line for line in messages.splitlines()), "no message says that %r was refused: %s" % (path, word))
    failures.check(not there, "%d things are where nothing should be: %s" % (len(there), sorted(there)[:10]))
    failures.check(not os.path.exists(os.path.join(fleet.root, "pwned")), "a name was run as a command")
    passwd = os.stat("/etc/passwd")
    failures.check(passwd.st_size > 0, "/etc/passwd was touched")


def run(work, failures):
    rng = random.Random(SEED)
    fleet = e2e.Fleet(settings=["zone.settle=500ms", "job.max_attempts=1"])
    if work == "script":
        fleet.script(SCRIPT)
    else:
        fleet.work = ["--handler", "copy"]
    sample = Sample(fleet, rng)
    sample.ordinary()
    sample.refusals()
    begun = time.monotonic()
    fleet.start("--until-idle")
    fleet.wait_started()
    late = threading.Thread(target=sample.while_it_runs)
    late.start()
    try:
        code = fleet.process.wait(120)
    except e2e.subprocess.TimeoutExpired:
        fleet.kill()
        code = None
    late.join()
    if os.path.exists(os.path.join(sample.incoming, b"again.csv")):  # it had ended before the last file came
        code = fleet.until_idle(60)
    took = time.monotonic() - begun
    failures.check(code == 0, "%s: ended with %s\n%s" % (work, code, fleet.summary()))
    judge(fleet, sample, failures, output=b"copy" if work == "script" else None)
    fleet.no_process_left(failures)
    print("%s: %d files, %d refused, in %.1f s" % (work, len(sample.expected), len(sample.refused), took), flush=True)
    if failures.count:
        failures.end(fleet)
    fleet.remove()


def main():
    failures = e2e.Failures()
    for work in ("copy", "script"):
        run(work, failures)
    failures.end()


if __name__ == "__main__":
    main()
