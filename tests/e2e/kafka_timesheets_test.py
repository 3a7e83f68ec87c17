"""The example's files through a fleet of nine processes on Kafka, and through one process on the embedded log: the same places, the same results.

    FILES=300 kafka_timesheets_test.py build/laneway
"""
import collections
import os
import shutil
import subprocess

import fleet as e2e
import kafka_fleet
from kafka_fleet import step

FILES = int(os.environ.get("FILES", "60" if e2e.FAST else "300"))
EXAMPLE = os.path.join(kafka_fleet.PROJECT, "examples/timesheets")
PATIENCE = 120


def prepare(root):
    """The example's folder, and its files, complete at once."""
    for name in ("process.sh", "timesheet.awk", "clients.csv", "laneway.json"):
        shutil.copy(os.path.join(EXAMPLE, name), root)
    made = os.path.join(root, "made")
    expected = os.path.join(root, "expected")
    subprocess.run([os.path.join(EXAMPLE, "make-timesheets"), "--count", str(FILES), "--seed", "1", made, expected], check=True,
                   stdout=subprocess.DEVNULL)
    with open(expected) as f:
        return made, {place: int(count) for place, count in (line.split() for line in f)}


def contents(folder):
    return collections.Counter(e2e.sha256(os.path.join(os.fsencode(folder), path)) for path in e2e.files_below(folder))


def results(zone):
    """What lies in each place: timesheets and what the script made of them."""
    return {place: contents(os.path.join(zone, place)) for place in ("incoming", "processing") + e2e.PLACES}


def standalone():
    ground = e2e.Ground()
    made, _ = prepare(ground.root)
    os.rmdir(ground.place("incoming"))
    os.rename(made, ground.place("incoming"))
    program = e2e.Program(ground.root, os.path.join(ground.root, "messages"))
    program.launch([e2e.BINARY, "up", "--until-idle", "--config", os.path.join(ground.root, "laneway.json"), "--zone", ground.zone,
                    "--listen", "off", "--set", "metrics.listen=off"])
    program.process.wait(PATIENCE)
    found = results(ground.zone)
    ground.remove()
    return found


def on_kafka(failures, as_one):
    fleet = kafka_fleet.KafkaFleet()
    made, expected = prepare(fleet.root)
    config = ["--config", os.path.join(fleet.root, "laneway.json")]
    fleet.work = config
    with fleet.watched(failures):
        fleet.ensure_topics()
        fleet.add_all(workers=0, dispatchers=2, reapers=2)
        for n in range(1, 5):
            fleet.add("w%d" % n, "worker", flags=config)
        fleet.start()
        step("started")
        for path in e2e.files_below(made):
            target = os.path.join(os.fsencode(fleet.place("incoming")), path)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.rename(os.path.join(os.fsencode(made), path), target)
        e2e.wait_for(lambda: not fleet.files("incoming") and not fleet.files("processing"), PATIENCE, "every file at its end")
        found = results(fleet.zone)
        step("%d files: %s" % (FILES, expected))
        for place in found:
            failures.check(found[place] == as_one[place], "%s/ differs from that of one process: %d here and %d there" %
                           (place, sum((found[place] - as_one[place]).values()), sum((as_one[place] - found[place]).values())))


def main():
    failures = e2e.Failures()
    as_one = standalone()
    step("one process: %s" % {place: sum(there.values()) for place, there in as_one.items()})
    failures.check(sum(as_one["completed"].values()) > 0, "one process completed nothing")
    on_kafka(failures, as_one)
    failures.end()


if __name__ == "__main__":
    main()
