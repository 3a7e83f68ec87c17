"""Wrong configuration and wrong surroundings: each start ends with 2 or 1, tells everything that is wrong at once, and what to do."""
import json
import os
import socket
import subprocess

import fleet as e2e

USAGE, OTHER = (2,), (1, 2)  # what is in the way may be the configuration's fault, or not
failures = e2e.Failures()


def run(fleet, what, code, *wanted, flags=("--until-idle",), config=None, rights=True):
    """Starts, and wants this exit code and these words on stderr. Without `rights` root is bound by the rights of files as anyone else."""
    words = fleet.command(*flags)
    if config is not None:
        path = os.path.join(fleet.root, "laneway.json")
        if config != "":
            with open(path, "w") as f:
                f.write(config)
        words[2:2] = ["--config", path]
    if not rights:
        words = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] + words
    try:
        got = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=20,
                             env=fleet.environment(), cwd=fleet.root)
    except subprocess.TimeoutExpired as hung:
        failures.check(False, "%s: does not end; it says %s" % (what, e2e.printable(hung.stderr or b"nothing")))
        return
    said = e2e.printable(got.stderr)
    failures.check(got.returncode in code, "%s: exit %d instead of one of %s; it says\n%s" % (what, got.returncode, code, said))
    for one in wanted:
        failures.check(one in said, "%s: '%s' is missing in what it says:\n%s" % (what, one, said))
    failures.check(not got.stdout, "%s: stdout is for results, not for '%s'" % (what, e2e.printable(got.stdout[:200])))


def new_fleet(*settings):
    fleet = e2e.Fleet(settings=settings)
    fleet.work = ["--handler", "copy"]
    return fleet


def configurations():
    fleet = new_fleet()
    run(fleet, "an unknown key", USAGE, "zone.pth", "path", config='{"zone": {"pth": "x"}}')
    run(fleet, "a duplicate key", USAGE, "zone", config='{"zone": {"path": "x"}, "zone": {"path": "y"}}')
    run(fleet, "a wrong type", USAGE, "job.max_attempts", config='{"job": {"max_attempts": "three"}}')
    run(fleet, "out of range", USAGE, "max_attempts", config='{"job": {"max_attempts": -3}}')
    run(fleet, "a number without a unit", USAGE, "job.timeout", config='{"job": {"timeout": 30}}')
    run(fleet, "no JSON", USAGE, "laneway.json", config='{"job": ')
    os.unlink(os.path.join(fleet.root, "laneway.json"))
    run(fleet, "a missing file", USAGE, "laneway.json", config="")
    all_wrong = json.dumps({"zon": {}, "job": {"max_attempts": "x", "timeout": 5}, "worker": {"capacity": -1}, "health": {"heartbeat_interval": "soon"}})
    run(fleet, "everything at once", USAGE, "zon", "max_attempts", "timeout", "capacity", "heartbeat_interval", config=all_wrong)
    os.unlink(os.path.join(fleet.root, "laneway.json"))
    fleet.settings = ["job.tmeout=5s"]
    run(fleet, "an unknown setting in a flag", USAGE, "job.tmeout", "timeout")
    fleet.settings = []
    fleet.work = []
    run(fleet, "nothing to run for a file", USAGE, "job.exec")
    fleet.remove()


def folders():
    fleet = new_fleet()
    os.rmdir(os.path.join(fleet.zone, "incoming"))
    open(os.path.join(fleet.zone, "incoming"), "w").close()
    run(fleet, "a file where incoming/ should be", OTHER, "incoming")
    fleet.remove()

    fleet = new_fleet()
    fleet.zone = os.path.join(fleet.root, "file")
    open(fleet.zone, "w").close()
    run(fleet, "a file where the zone should be", OTHER, fleet.zone)
    fleet.remove()

    fleet = new_fleet()
    fleet.data = os.path.join(fleet.root, "file")
    open(fleet.data, "w").close()
    run(fleet, "a file where the data folder should be", OTHER, fleet.data)
    fleet.remove()

    if os.geteuid() == 0:
        fleet = new_fleet()
        os.chmod(fleet.root, 0o755)
        os.chown(fleet.zone, 65534, 65534)
        os.chmod(fleet.zone, 0o755)  # may be read, not written
        run(fleet, "a zone without the right to write", OTHER, fleet.zone, "let the user", rights=False)
        for name in ("processing", "logs"):
            os.makedirs(fleet.place(name))
        for name in ("processing", "completed", "failed", "quarantine", "logs"):
            os.chmod(fleet.place(name), 0o777)
        os.chown(fleet.place("incoming"), 65534, 65534)
        os.chmod(fleet.place("incoming"), 0o700)
        run(fleet, "an incoming/ without the right to read", OTHER, "incoming", "let the user", rights=False)
        fleet.remove()

        fleet = new_fleet()
        processing = fleet.place("processing")
        os.makedirs(processing)
        subprocess.run(["mount", "-t", "tmpfs", "none", processing], check=True)
        try:
            run(fleet, "processing/ on another device", OTHER, "processing", "file system")
        finally:
            subprocess.run(["umount", processing], check=True)
        fleet.remove()


def second_fleet():
    """Of one data folder; the first goes on."""
    fleet = new_fleet()
    fleet.start()
    fleet.wait_started()
    other = e2e.Fleet(data=fleet.data)
    other.work = ["--handler", "copy"]
    run(other, "a data folder in use", OTHER, fleet.data)
    failures.check(fleet.process.poll() is None, "the first fleet has ended")
    with open(os.path.join(fleet.place("incoming"), "a.txt"), "w") as f:
        f.write("x")
    e2e.wait_for(lambda: fleet.files("completed"), 10, "the first fleet goes on working")
    failures.check(fleet.stop() == 0, "the first fleet did not end well")
    fleet.no_process_left(failures)
    other.remove()
    fleet.remove()


def taken_addresses():
    """An address that was asked for must be had; of a batch run nobody asked for one."""
    for setting in ("api.listen", "metrics.listen"):
        fleet = new_fleet()
        with socket.socket() as holder:
            holder.bind(("127.0.0.1", 0))
            holder.listen()
            address = "127.0.0.1:%d" % holder.getsockname()[1]
            fleet.settings = ["%s=%s" % (setting, address)]
            if setting == "api.listen":
                fleet.listen = address
            run(fleet, "%s taken" % setting, OTHER, address, "taken by another process")
            run(fleet, "%s taken, without an end" % setting, OTHER, address, "taken by another process", flags=())
        fleet.remove()


configurations()
folders()
taken_addresses()
second_fleet()
failures.end()
