#!/usr/bin/env python3
"""The checker's own test: a house that is in order has no finding, and each rule catches what it is there for."""
import pathlib
import tempfile
import unittest

import house_rules

GOOD = {
    "src/CMakeLists.txt": "laneway_module(fleet DEPENDS schemas)\nlaneway_module(log DEPENDS fleet schemas LIBRARIES x::y)\n"
                          "laneway_module(worker DEPENDS log fleet schemas)\nlaneway_module(zone DEPENDS fleet)\nlaneway_module(ops DEPENDS fleet)\nlaneway_module(api DEPENDS log fleet schemas)\n",
    "src/fleet/README.md": "# fleet\n",
    "src/log/README.md": "# log\n",
    "src/worker/README.md": "# worker\n",
    "src/api/README.md": "# api\n",
    "src/fleet/core.h": "// core.h: decides.\n#pragma once\n\n#include <map>\n#include <unordered_map>\n\n#include \"fleet/ids.h\"\n#include \"laneway/v1/event.pb.h\"\n"
                        "struct Core { std::unordered_map<int, std::vector<int>> index_; };\n",
    "src/fleet/ids.h": "// ids.h: names.\n#pragma once\n",
    "src/log/log.h": "// log.h: the log.\n//\n// Role:       interface to the outside: two of them.\n#pragma once\n#include \"fleet/ids.h\"\n",
    "tests/contract/log_contract.cc": "// rule L1\n",
    "tests/tidy/interfaces.txt": "src/log/log.h tests/contract/log_contract.cc\n",
}
GOOD["src/log/rules.cc"] = "".join("// rule " + name + "\n" for name in house_rules.PROTOCOL_RULES)
GOOD["tests/rules_test.cc"] = "// rules L1, L2, L3 and L4; rules L5, L6 or L7; rules I1 / E1\n// rules P1, P2. rule W1 and W2\n// rule W3 or rules R1, R2\n// rules Z1, Z2, Z3, Z4, Z5\n"

# rule, file, content, text of the finding
BAD = [
    ("core-includes", "src/fleet/a.cc", "#include <thread>\n", "thread"),
    ("core-includes", "src/fleet/a.cc", "#include \"log/log.h\"\n", "log/log.h"),
    ("core-includes", "src/fleet/a.cc", "#include <sys/stat.h>\n", "sys/stat.h"),
    ("core-includes", "src/fleet/a.cc", "#include \"absl/status/status.h\"\n", "absl"),
    ("core-world", "src/fleet/a.cc", "auto t = std::chrono::system_clock::now();\n", "now("),
    ("core-world", "src/fleet/a.cc", "std::mt19937 rng;\n", "mt19937"),
    ("core-unordered", "src/fleet/a.cc", "void F() { for (const auto& [k, v] : index_) Use(k); }\n", "unordered"),
    ("core-unordered", "src/fleet/a.cc", "auto it = core.index_.begin();\n", "unordered"),
    ("core-unordered", "src/fleet/a.cc", "HashMap<int, int> flat_;\nvoid F() { for (const auto& [k, v] : flat_) Use(k); }\n", "unordered"),
    ("arrows", "src/worker/a.cc", "#include \"api/server.h\"\n", "may not include api/server.h"),
    ("arrows", "src/log/a.cc", "#include \"worker/x.h\"\n", "do not name worker"),
    ("arrows", "src/stray/a.cc", "\n", "not declared"),
    ("arrows", "src/CMakeLists.txt", GOOD["src/CMakeLists.txt"] + "laneway_module(reaper DEPENDS worker)\n", "roles meet in the log"),
    ("forbidden", "src/log/a.cc", "void F() { throw 1; }\n", "throw"),
    ("forbidden", "src/log/a.cc", "std::this_thread::sleep_for(1s);\n", "sleep_for"),
    ("forbidden", "tests/a_test.cc", "usleep(10);\n", "usleep"),
    ("forbidden", "src/log/a.cc", "system(\"ls\");\n", "system("),
    ("forbidden", "src/log/a.cc", "FILE* f = popen(x, y);\n", "popen("),
    ("forbidden", "src/log/a.cc", "int x = rand();\n", "rand("),
    ("forbidden", "src/log/a.cc", "pid_t p = fork();\n", "fork("),
    ("world", "src/log/a.cc", "std::thread t([] {});\n", "std::thread"),
    ("world", "src/log/a.cc", "auto t = std::chrono::steady_clock::now();\n", "steady_clock::now"),
    ("world", "src/log/a.cc", "std::random_device d;\n", "random_device"),
    ("length", "src/log/a.cc", "\n" * 501, "501 lines"),
    ("length", "src/log/a.cc", "// " + "x" * 120 + "\n", "123 columns"),
    ("function-length", "src/log/a.cc", "int F() {\n" + "  Step();\n" * 80 + "}\n", "F has 82 lines"),
    ("header", "src/log/a.h", "#pragma once\n", "begins with"),
    ("header", "src/log/a.h", "// a.h: a thing.\n", "pragma once"),
    ("readme", "src/log/README.md", "line\n" * 41, "longer than"),
    ("readme", "src/zone/a.cc", "\n", "lacks README.md"),
    ("rules-named", "src/log/rules.cc", GOOD["src/log/rules.cc"].replace("rule Z3", "Z3"), "'rule Z3'"),
    ("rules-named", "tests/rules_test.cc", "// rules L1-L7\n", "'rule L2'"),
    ("places", "docs/x.md", "see /" + "home/somebody/x\n", "machine"),
    ("places", "tools/x", "curl https://" + "pypi.org/simple\n", "registries"),
    ("bounds", "src/log/a.cc", "constexpr int kMaxQueue = 3;\n", "kMaxQueue"),
    ("bounds", "src/log/a.cc", "int max_queue = 3;\n", "max_queue"),
    ("contracts", "src/log/clock.h", "// clock.h: time.\n//\n// Role:       interface to the outside: one.\n#pragma once\n", "interfaces.txt"),
    ("contracts", "tests/tidy/interfaces.txt", "src/log/log.h tests/contract/gone.cc\n", "does not exist"),
    ("documented", "src/ops/config_rules.cc", "{\"job.timeout\", 3}\n", "job.timeout is not in docs/configuration.md"),
    ("documented", "src/ops/metrics.cc", "{\"laneway_jobs_total\", 3}\n", "laneway_jobs_total is not in docs/http.md"),
    ("documented", "README.md", "[more](docs/gone.md)\n", "links to docs/gone.md"),
    ("unfinished", "src/log/a.cc", "// TO" + "DO: all of it\n", "finish it"),
    ("unfinished", "tests/a_test.cc", "GTEST_SKIP();\n", "a skip says why"),
]

# What looks like a violation and is none.
FINE = [
    ("src/log/a.cc", "// we never throw; std::thread; system(\"x\"); kMaxQueue\nconst char* kText = \"throw sleep_for(1) rand()\";\n"),
    ("src/log/a.cc", "void F() noexcept;\nint system_time(int);\nfile.system();\nauto d = a.max_background_jobs;\nauto m = std::max_element(a, b);\nint n = std::numeric_limits<int>::max();\n"),
    ("src/log/a.cc", "const int big = 1'000'000; const char c = 'x'; int max_attempts = 3;\nstd::thread::id id;\n"),
    ("src/fleet/a.cc", "// unordered: result does not depend on order\nvoid F() { for (const auto& [k, v] : index_) Use(k); }\n"),
    ("src/fleet/a.cc", "auto x = index_.find(3); for (int v : ordered_) Use(v);\nvoid G() { for (int i = 0; i < 3; ++i) { index_.erase(i); } }\n"),
    ("docs/x.md", "GET /api/v1/jobs, /usr/share/x, /tmp/x, ~/work/x\n"),
]


class HouseRules(unittest.TestCase):
    def check(self, changes):
        with tempfile.TemporaryDirectory() as name:
            root = pathlib.Path(name).resolve()
            for path, content in {**GOOD, **changes}.items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_text(content)
            return house_rules.check(root)

    def test_a_house_in_order_has_no_finding(self):
        self.assertEqual(self.check({}), ([], []))

    def test_each_rule_catches_what_it_is_there_for(self):
        for rule, path, content, want in BAD:
            with self.subTest(rule=rule, content=content[:60]):
                findings, _ = self.check({path: content})
                self.assertTrue(any(f[0] == rule and want in f[3] for f in findings), f"{rule} found nothing like '{want}' in {findings}")
                self.assertEqual({f[0] for f in findings} - {rule, "core-includes", "arrows", "readme"}, set(), findings)

    def test_every_rule_has_a_sample(self):
        self.assertEqual({row[0] for row in BAD}, set(house_rules.RULES))

    def test_what_only_looks_like_a_violation_is_left_alone(self):
        for path, content in FINE:
            with self.subTest(content=content[:60]):
                self.assertEqual(self.check({path: content}), ([], []))

    def test_what_is_allowed_is_no_finding_and_a_stale_permission_is_one(self):
        thread = {"src/log/a.cc": "std::thread t([] {});\n", "tests/tidy/allowed.txt": "world src/log/a.cc # its shell\n"}
        self.assertEqual(self.check(thread), ([], []))
        findings, stale = self.check({"tests/tidy/allowed.txt": "world src/log/a.cc # its shell\n"})
        self.assertEqual((findings, stale), ([], [("world", "src/log/a.cc")]))

    def test_a_permission_without_a_reason_is_refused(self):
        with self.assertRaises(SystemExit):
            self.check({"tests/tidy/allowed.txt": "world src/log/a.cc\n"})


if __name__ == "__main__":
    unittest.main()
