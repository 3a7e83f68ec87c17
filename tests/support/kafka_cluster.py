"""A real Apache Kafka for tests: one broker or a cluster, on free ports, in a temporary folder, gone with whoever started it.

One home for all who need one:
  Python    from kafka_cluster import Cluster
  C++       tests/support/kafka_broker.h starts `serve` and speaks the lines below over its pipes
  a shell   tools/kafka start DIR [--brokers 3] [--sasl]; tools/kafka kill DIR 1; tools/kafka stop DIR

`serve` prints one line of JSON (what `Cluster.facts` holds) and then answers each line it reads with `ok …` or `error …`:
  start N | stop N | kill N | pause N | resume N | tool CLASS ARGUMENT… | quit
When its input ends it ends too, and all brokers with it. `{bootstrap}` in a tool's arguments is the address that needs no password.
"""
import argparse
import base64
import ctypes
import json
import os
import random
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid

PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
STARTED = b"Kafka Server started"
BRIEF = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
# What Kafka's own script starts a broker with, so that figures taken beside it are those of a broker as people have it.
LASTING = ["-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent"]
ARCHIVE = "classes.jsa"
START_SECONDS = 120
STOP_SECONDS = 60
USER, PASSWORD = "fleet", "fleet-secret"
SUPER_USER, SUPER_PASSWORD = "admin", "admin-secret"
PR_SET_PDEATHSIG = 1


def jars():
    return subprocess.run([os.path.join(PROJECT, "tools/kafka-jars"), "--prefix"], check=True, stdout=subprocess.PIPE,
                          text=True).stdout.strip()


def free_ports(count):
    """Different ones, free now, and not of those the system gives to whoever connects: a broker that is down must find its ports again."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as given:
        above = int(given.read().split()[0])
    sockets = []
    try:
        while len(sockets) < count:
            sockets.append(socket.socket())
            try:
                sockets[-1].bind(("127.0.0.1", random.randrange(10000, max(above, 20000))))
            except OSError:
                sockets.pop().close()
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def make_certificates(folder, days=30):
    """ca.pem for clients, broker.pem (key and certificate, for 127.0.0.1 and localhost) for the brokers."""
    at = lambda name: os.path.join(folder, name)
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=laneway test ca",
            "-keyout", at("ca.key"), "-out", at("ca.pem"))
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout", at("broker.key"), "-out", at("broker.csr"))
    with open(at("names.cnf"), "w") as names:
        names.write("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    openssl("x509", "-req", "-in", at("broker.csr"), "-CA", at("ca.pem"), "-CAkey", at("ca.key"), "-CAcreateserial",
            "-days", str(days), "-extfile", at("names.cnf"), "-out", at("broker.crt"))
    with open(at("broker.pem"), "w") as both:
        for name in ("broker.key", "broker.crt"):
            with open(at(name)) as part:
                both.write(part.read())


class Cluster:
    """`lasting`: for hours, not for one test. `detours`: who comes through them is sent back through them. `sasl`: clients need TLS and a
    password (SCRAM-SHA-512). `acl`: and rights, of which `fleet` has none at first."""

    def __init__(self, folder=None, brokers=1, sasl=False, acl=False, certificate_days=30, memory="512m", settings=(),
                 address="127.0.0.1", detours=(), lasting=False):
        self.address = address  # where clients reach the brokers: another one in a network namespace of a test's own
        self.folder = folder or tempfile.mkdtemp(prefix="laneway_kafka_")
        os.makedirs(self.folder, exist_ok=True)
        if os.listdir(self.folder):
            raise RuntimeError(self.folder + " is not empty; it is removed at the end, so it must be ours")
        self.count, self.sasl, self.acl, self.memory, self.settings = brokers, sasl or acl, acl, memory, list(settings)
        self.processes = {}
        folder_of_jars = jars()
        self.classpath = os.path.join(folder_of_jars, "*")
        # A test's broker is over before the better compiler has paid; half of what starting costs is loading classes.
        archive = os.path.join(folder_of_jars, ARCHIVE)
        self.virtual_machine = LASTING if lasting else BRIEF + (["-XX:SharedArchiveFile=" + archive] if os.path.exists(archive) else [])
        self.detours = list(detours)  # a port for each broker, at which a proxy to its fourth port is
        ports = free_ports(4 * brokers)
        self.ports = {n: ports[4 * (n - 1):4 * n] for n in range(1, brokers + 1)}  # clients, brokers, controllers, detour
        if self.sasl:
            make_certificates(self.folder, certificate_days)
        self.cluster_id = "L" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[:21]
        for n in self.ports:
            self.write_settings(n)
        formats = [self.java(["kafka.tools.StorageTool", "format", "-t", self.cluster_id, "-c", self.at(n, "server.properties"),
                              *self.users()], self.at(n, "format.log")) for n in self.ports]
        for n, process in enumerate(formats, 1):
            if process.wait() != 0:
                raise RuntimeError("formatting failed:\n" + self.tail(n, "format.log"))
        for n in self.ports:
            self.launch(n)
        for n in self.ports:
            self.wait_started(n)

    @property
    def facts(self):
        internal = ",".join("127.0.0.1:%d" % self.ports[n][1] for n in self.ports)
        facts = {"folder": self.folder, "bootstrap": ",".join("%s:%d" % (self.address, self.ports[n][0]) for n in self.ports),
                 "internal": internal, "brokers": self.count, "settings": {}}
        if self.sasl:
            facts["settings"] = {"security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512", "sasl.username": USER,
                                 "sasl.password": PASSWORD, "ssl.ca.location": os.path.join(self.folder, "ca.pem")}
        return facts

    def at(self, n, name):
        return os.path.join(self.folder, "broker-%d" % n, name)

    def tail(self, n, name, size=4000):
        with open(self.at(n, name), "rb") as log:
            return log.read()[-size:].decode("utf-8", "replace")

    def users(self):
        if not self.sasl:
            return []
        return [word for name, password in ((USER, PASSWORD), (SUPER_USER, SUPER_PASSWORD))
                for word in ("--add-scram", "SCRAM-SHA-512=[name=%s,password=%s]" % (name, password))]

    def write_settings(self, n):
        os.makedirs(self.at(n, ""), exist_ok=True)
        clients, brokers, controllers, detour = self.ports[n]
        many = min(3, self.count)
        listeners = "CLIENTS://%s:%d,BROKERS://127.0.0.1:%d" % (self.address, clients, brokers)
        advertised = listeners
        if self.detours:
            listeners += ",DETOUR://127.0.0.1:%d" % detour
            advertised += ",DETOUR://127.0.0.1:%d" % self.detours[n - 1]
        lines = [
            "process.roles=broker,controller", "node.id=%d" % n,
            "controller.quorum.voters=" + ",".join("%d@127.0.0.1:%d" % (other, self.ports[other][2]) for other in self.ports),
            "listeners=%s,CONTROLLERS://127.0.0.1:%d" % (listeners, controllers), "advertised.listeners=" + advertised,
            "controller.listener.names=CONTROLLERS", "inter.broker.listener.name=BROKERS",
            "listener.security.protocol.map=CLIENTS:%s,BROKERS:PLAINTEXT,CONTROLLERS:PLAINTEXT,DETOUR:PLAINTEXT" %
            ("SASL_SSL" if self.sasl else "PLAINTEXT"),
            "log.dirs=" + self.at(n, "data"),
            "offsets.topic.replication.factor=%d" % many, "offsets.topic.num.partitions=4",
            "transaction.state.log.replication.factor=%d" % many, "transaction.state.log.min.isr=1",
            "transaction.state.log.num.partitions=4", "share.coordinator.state.topic.replication.factor=%d" % many,
            "share.coordinator.state.topic.min.isr=1", "group.initial.rebalance.delay.ms=0", "group.min.session.timeout.ms=500",
            "broker.session.timeout.ms=3000", "broker.heartbeat.interval.ms=500", "log.cleaner.backoff.ms=200",
            # each partition maps two of these, and the kernel fills what it maps with zeros: with the default of 10 MiB that was 40 % of the time
            "log.index.size.max.bytes=262144",
            "auto.create.topics.enable=true",  # so that a client that makes topics by accident is found out
        ]
        if self.sasl:
            pem = os.path.join(self.folder, "broker.pem")
            lines += ["ssl.keystore.type=PEM", "ssl.keystore.location=" + pem, "ssl.truststore.type=PEM",
                      "ssl.truststore.location=" + os.path.join(self.folder, "ca.pem"),
                      "listener.name.clients.sasl.enabled.mechanisms=SCRAM-SHA-512",
                      "listener.name.clients.scram-sha-512.sasl.jaas.config="
                      "org.apache.kafka.common.security.scram.ScramLoginModule required;"]
        if self.acl:
            lines += ["authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
                      "allow.everyone.if.no.acl.found=false", "super.users=User:ANONYMOUS;User:" + SUPER_USER]
        with open(self.at(n, "server.properties"), "w") as file:
            file.write("\n".join(lines + self.settings) + "\n")

    def java(self, words, log, memory="256m"):
        with open(log, "ab") as out:
            return subprocess.Popen(["java", "-Xmx" + memory, *self.virtual_machine, "-cp", self.classpath, *words],
                                    stdin=subprocess.DEVNULL, stdout=out, stderr=out, preexec_fn=die_with_parent, close_fds=True)

    def write_archive(self, path):
        """Of the classes that a broker loads."""
        self.stop(1)
        self.virtual_machine = BRIEF + ["-XX:ArchiveClassesAtExit=" + path]
        self.start(1)
        self.stop(1)

    def launch(self, n):
        if os.path.exists(self.at(n, "server.log")):
            os.replace(self.at(n, "server.log"), self.at(n, "server.log.before"))
        self.processes[n] = self.java(["kafka.Kafka", self.at(n, "server.properties")], self.at(n, "server.log"), self.memory)

    def wait_started(self, n):
        deadline = time.monotonic() + START_SECONDS
        while STARTED not in open(self.at(n, "server.log"), "rb").read():
            if self.processes[n].poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("broker %d did not start:\n%s" % (n, self.tail(n, "server.log")))
            time.sleep(0.02)

    def start(self, n):
        self.launch(n)
        self.wait_started(n)

    def end(self, n, number):
        process = self.processes[n]
        process.send_signal(signal.SIGCONT)
        process.send_signal(number)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def stop(self, n):
        self.end(n, signal.SIGTERM)

    def kill(self, n):
        self.processes[n].kill()
        self.processes[n].wait()

    def pause(self, n):
        self.processes[n].send_signal(signal.SIGSTOP)

    def resume(self, n):
        self.processes[n].send_signal(signal.SIGCONT)

    def tool(self, *words):
        """Runs one of Kafka's own tools; what it printed."""
        words = [word.replace("{bootstrap}", self.facts["internal"]) for word in words]
        done = subprocess.run(["java", "-Xmx256m", *BRIEF, "-cp", self.classpath,
                               "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", *words],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=die_with_parent)
        if done.returncode != 0:
            raise RuntimeError(done.stdout)
        return done.stdout

    def close(self):
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def answer(self, line):
        """One line of `serve`. Nothing: the end."""
        words = shlex.split(line)
        try:
            if words == ["quit"]:
                return None
            if words[0] == "tool":
                return "ok " + json.dumps(self.tool(*words[1:]))
            if words[0] in ("start", "stop", "kill", "pause", "resume") and len(words) == 2:
                getattr(self, words[0])(int(words[1]))
                return "ok"
            return "error: no such command"
        except Exception as error:  # whoever asked is told
            return "error: " + json.dumps(str(error))


def serve_lines(cluster, lines, out):
    for line in lines:
        answer = cluster.answer(line)
        if answer is None:
            break
        out.write(answer + "\n")
        out.flush()


def serve_socket(cluster, path):
    """For tools/kafka: one connection a command."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        while True:
            connection, _ = listener.accept()
            with connection, connection.makefile("rw") as file:
                answer = cluster.answer(file.readline())
                if answer is None:
                    file.write("ok\n")
                    return
                file.write(answer + "\n")


def ask(folder, line):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(os.path.join(folder, "control"))
        with connection.makefile("rw") as file:
            file.write(line + "\n")
            file.flush()
            return file.readline().rstrip("\n")


def start_detached(arguments):
    folder = os.path.abspath(arguments.folder)
    words = [sys.executable, "-B", os.path.abspath(__file__), "serve", folder, "--brokers", str(arguments.brokers), "--socket",
             "--memory", arguments.memory]
    words += ["--setting=" + setting for setting in arguments.setting]
    words += [flag for flag, wanted in (("--sasl", arguments.sasl), ("--acl", arguments.acl)) if wanted]
    with tempfile.TemporaryFile("w+") as errors:  # of its own: who reads ours would wait until the brokers end
        server = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, start_new_session=True, text=True)
        facts = server.stdout.readline()
        if not facts:
            server.wait()
            errors.seek(0)
            sys.exit(errors.read() + "error: the brokers did not start")
    print(facts, end="")


def main():
    parser = argparse.ArgumentParser(prog="tools/kafka", description="A real Apache Kafka for tests and for trying things out.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in ("start", "serve"):
        one = verbs.add_parser(verb, help="starts brokers; prints how to reach them" if verb == "start" else "the same, until its input ends")
        one.add_argument("folder", help="where the brokers live; removed at the end")
        one.add_argument("--brokers", type=int, default=1)
        one.add_argument("--sasl", action="store_true", help="clients need TLS and a password")
        one.add_argument("--acl", action="store_true", help="and rights")
        one.add_argument("--memory", default="1g" if verb == "start" else "512m", help="of each broker")
        one.add_argument("--certificate-days", type=int, default=30)
        one.add_argument("--setting", action="append", default=[], metavar="NAME=VALUE", help="of the brokers; may be repeated")
        one.add_argument("--socket", action="store_true", help=argparse.SUPPRESS)
    for verb in ("broker-start", "broker-stop", "kill", "pause", "resume"):
        one = verbs.add_parser(verb, help="one broker, by its number")
        one.add_argument("folder")
        one.add_argument("broker", type=int)
    one = verbs.add_parser("tool", help="runs one of Kafka's tools; {bootstrap} in its arguments is the address")
    one.add_argument("folder")
    one.add_argument("words", nargs=argparse.REMAINDER)
    verbs.add_parser("archive", help="writes down which classes a broker loads: later ones start sooner").add_argument("folder", help="of the jars")
    verbs.add_parser("stop", help="ends all brokers, removes the folder").add_argument("folder")
    arguments = parser.parse_args()

    if arguments.verb == "start":
        return start_detached(arguments)
    if arguments.verb == "serve":
        signal.signal(signal.SIGTERM, lambda *unused: sys.exit(0))
        cluster = Cluster(arguments.folder, arguments.brokers, arguments.sasl, arguments.acl, arguments.certificate_days, arguments.memory,
                          arguments.setting, lasting=arguments.socket)
        with cluster:
            print(json.dumps(cluster.facts), flush=True)
            if arguments.socket:
                serve_socket(cluster, os.path.join(cluster.folder, "control"))
            else:
                serve_lines(cluster, sys.stdin, sys.stdout)
        return None
    if arguments.verb == "archive":
        part = os.path.join(arguments.folder, ARCHIVE + ".%d" % os.getpid())
        with Cluster() as cluster:
            cluster.write_archive(part)
        os.rename(part, os.path.join(arguments.folder, ARCHIVE))
        return None
    if arguments.verb == "stop":
        line = "quit"
    elif arguments.verb == "tool":
        line = "tool " + shlex.join(arguments.words)
    else:
        line = "%s %d" % (arguments.verb.removeprefix("broker-"), arguments.broker)
    answer = ask(os.path.abspath(arguments.folder), line)
    good, _, text = answer.partition(" ")
    if text:
        print(json.loads(text), end="")
    return 0 if good == "ok" else 1


if __name__ == "__main__":
    sys.exit(main())
