#!/usr/bin/env python3
"""Checks the house rules (CONTRIBUTING.md) as far as text can show them.

    tests/tidy/house_rules.py [--root FOLDER] [--warn RULE,RULE] [--only RULE,RULE]

One line a finding: path:line: [rule] what, and what to do. Exits 1 when there is one, 0 otherwise. A finding that is right as it is gets a line in
tests/tidy/allowed.txt with its reason. `--warn` reports rules without failing.
"""
import argparse
import fnmatch
import json
import pathlib
import re
import shutil
import subprocess
import sys

PROTOCOL_RULES = ("L1 L2 L3 L4 L5 L6 L7 I1 E1 P1 P2 W1 W2 W3 R1 R2 Z1 Z2 Z3 Z4 Z5").split()
FILE_LINES_MAX, FUNCTION_LINES_MAX, COLUMNS_MAX, README_LINES_MAX = 500, 70, 110, 40
CORE_HEADERS = set(
    "algorithm array bit cassert cctype charconv chrono climits cmath compare concepts cstddef cstdint cstdlib cstring deque functional "
    "initializer_list iterator limits list map memory numeric optional queue ranges set span sstream stack string string_view tuple type_traits "
    "unordered_map unordered_set utility variant vector version".split())
UNORDERED_MARK = re.compile(r"//.*\bunordered: +\w")

RULES = {}


def rule(name):
    def register(function):
        RULES[name] = function
        return function
    return register


def blank(match):
    """Keeps the line structure of what is cut out."""
    return re.sub(r"[^\n]", " ", match.group(0))


COMMENT_OR_STRING = re.compile(r'//[^\n]*|/\*.*?\*/|R"(?P<d>[^(\s]*)\(.*?\)(?P=d)"|"(?:\\.|[^"\\\n])*"|(?<![0-9a-zA-Z])\'(?:\\.|[^\'\\\n])+\'', re.S)


class Source:
    def __init__(self, root, path):
        self.path = path.relative_to(root).as_posix()
        self.text = path.read_text(encoding="utf-8", errors="surrogateescape")
        self.lines = self.text.split("\n")
        self.is_cpp = path.suffix in (".h", ".cc")
        self.code = COMMENT_OR_STRING.sub(blank, self.text) if self.is_cpp else self.text
        self.code_lines = self.code.split("\n")
        parts = self.path.split("/")
        self.module = parts[1] if parts[0] == "src" and len(parts) > 2 else ""

    def includes(self):
        for number, line in enumerate(self.lines, 1):
            found = re.match(r'\s*#\s*include\s+([<"])([^>"]+)[>"]', line)
            if found:
                yield number, found.group(1) == "<", found.group(2)


class House:
    def __init__(self, root):
        self.root = root
        self.sources = [Source(root, path) for folder in ("src", "tests", "bench") for path in sorted((root / folder).rglob("*"))
                        if path.is_file() and path.suffix in (".h", ".cc", ".py", ".sh") and "corpus" not in path.parts]
        self.findings = []

    def cpp(self, *folders):
        return [s for s in self.sources if s.is_cpp and s.path.startswith(tuple(f + "/" for f in folders))]

    def core(self):
        return [s for s in self.cpp("src") if s.module == "fleet"]

    def find(self, name, path, line, what):
        self.findings.append((name, path, line, what))

    def find_pattern(self, name, sources, pattern, what):
        expression = re.compile(pattern)
        for source in sources:
            for number, line in enumerate(source.code_lines, 1):
                found = expression.search(line)
                if found:
                    self.find(name, source.path, number, what.format(found.group(0).strip()))

    def modules(self):
        """name -> modules it may include, from src/CMakeLists.txt."""
        path = self.root / "src/CMakeLists.txt"
        text = re.sub(r"#[^\n]*", "", path.read_text()) if path.exists() else ""
        modules = {}
        for found in re.finditer(r"laneway_module\(\s*(\w+)([^)]*)\)", text):
            depends = re.search(r"DEPENDS\s+((?:\w+\s*)+?)(?=LIBRARIES|SOURCES|$)", found.group(2).strip())
            modules[found.group(1)] = set(depends.group(1).split()) if depends else set()
        return modules


@rule("core-includes")
def core_includes(house):
    for source in house.core():
        for number, angle, header in source.includes():
            if angle and header in CORE_HEADERS:
                continue
            if not angle and header.startswith(("fleet/", "laneway/v1/")):
                continue
            house.find("core-includes", source.path, number,
                       f"src/fleet may not include {header}: only fleet/, laneway/v1/ and headers of std without clock, chance, threads or files")


@rule("core-world")
def core_world(house):
    house.find_pattern("core-world", house.core(),
                       r"\bnow\s*\(|\b(?:random_device|mt19937\w*|default_random_engine|getenv|gettimeofday|clock_gettime)\b|\bstd::(?:thread|mutex|async|atomic)\b",
                       "a core cannot read time, chance or the world: '{}'. Hand it in")


@rule("core-unordered")
def core_unordered(house):
    declaration = re.compile(r"\b(?:unordered_(?:map|set|multimap|multiset)|HashMap|HashSet)\s*<")
    names = set()
    for source in house.core():
        for found in declaration.finditer(source.code):
            depth, at = 1, found.end()
            while depth and at < len(source.code):
                depth += {"<": 1, ">": -1}.get(source.code[at], 0)
                at += 1
            name = re.match(r"[\s>&*]*(\w+)\s*(?:;|=|\{|,|\))", source.code[at:])
            if name:
                names.add(name.group(1))
    if not names:
        return
    any_name = "(?:" + "|".join(sorted(map(re.escape, names))) + ")"
    loop = re.compile(r"\bfor\s*\([^;()]*(?:\([^()]*\)[^;()]*)*:[^;]*\b" + any_name + r"(?:\[[^\]]*\])?\s*\)|\b" + any_name + r"(?:\[[^\]]*\])?\s*(?:\.|->)\s*c?begin\s*\(")
    for source in house.core():
        for number, line in enumerate(source.code_lines, 1):
            marked = any(UNORDERED_MARK.search(text) for text in source.lines[max(0, number - 2):number])
            if loop.search(line) and not marked:
                house.find("core-unordered", source.path, number,
                           "iterates over an unordered container: use an ordered one, or say on the line why order cannot reach a result: '// unordered: …'")


@rule("arrows")
def arrows(house):
    modules = house.modules()
    for source in house.cpp("src"):
        if source.module and source.module not in modules:
            house.find("arrows", source.path, 1, f"module {source.module} is not declared in src/CMakeLists.txt")
            continue
        if not source.module:
            continue
        for number, angle, header in source.includes():
            other = header.split("/")[0]
            if header.startswith("laneway/v1/"):
                other = "schemas"
            elif angle or other not in modules or other == source.module:
                continue
            if other not in modules[source.module]:
                house.find("arrows", source.path, number, f"{source.module} may not include {header}: its DEPENDS in src/CMakeLists.txt do not name {other}")
    roles = {"dispatcher", "worker", "reaper", "api", "pipeline", "federation", "audit"}
    for name in sorted(roles & modules.keys()):
        for other in sorted(modules[name] & roles):
            house.find("arrows", "src/CMakeLists.txt", 1, f"role {name} depends on role {other}: roles meet in the log")


@rule("forbidden")
def forbidden(house):
    house.find_pattern("forbidden", house.cpp("src"), r"\bthrow\b(?!\s*\(\s*\))", "'{}' in src/: failing is an answer, return a Status")
    house.find_pattern("forbidden", house.cpp("src", "tests"), r"\bsleep_(?:for|until)\b|\b(?:u|nano)?sleep\s*\(|\bclock_nanosleep\b",
                       "'{}': nothing sleeps, wait for a signal or move the clock")
    house.find_pattern("forbidden", house.cpp("src"), r"(?<![\w:.>])(?:std::|::)?(?:system|popen|s?rand|fork|tmpnam|strtok|gets)\s*\(",
                       "'{}' in src/: no shell, no plain fork, no global chance or state")


@rule("world")
def world(house):
    outside = [s for s in house.cpp("src") if s.module != "fleet"]
    house.find_pattern("world", outside, r"\bstd::(?:thread|jthread|async)\b(?!::)", "'{}': threads live only in shells, listed in tests/tidy/allowed.txt")
    house.find_pattern("world", outside, r"\b\w*_clock::now\b|\bclock_gettime\b|\bgettimeofday\b|\btime\s*\(\s*(?:NULL|nullptr|0)\s*\)|\bTimeNow\b|\babsl::Now\b",
                       "'{}': time comes from ops/clock.h, or the file is listed in tests/tidy/allowed.txt")
    house.find_pattern("world", outside, r"\b(?:random_device|mt19937\w*|getrandom)\b", "'{}': chance comes from one place, listed in tests/tidy/allowed.txt")


@rule("length")
def length(house):
    for source in house.sources:
        count = len(source.lines) - (source.lines[-1] == "")
        if count > FILE_LINES_MAX:
            house.find("length", source.path, count, f"{count} lines, at most {FILE_LINES_MAX}: split by duty")
        if not source.is_cpp:
            continue
        for number, line in enumerate(source.lines, 1):
            if len(line) > COLUMNS_MAX:
                house.find("length", source.path, number, f"{len(line)} columns, at most {COLUMNS_MAX}: tools/format")


@rule("function-length")
def function_length(house):
    ctags = shutil.which("ctags-universal") or shutil.which("ctags")
    sources = house.cpp("src", "tests", "bench")
    if not sources:
        return
    if not ctags:
        house.find("function-length", "tools/packages.txt", 1, "universal-ctags is not installed: tools/install-packages --test")
        return
    listing = subprocess.run([ctags, "--output-format=json", "--fields=+ne", "--languages=C++", "--langmap=C++:.h.cc", "--kinds-C++=f", "-L", "-", "-o", "-"],
                             input="\n".join(str(house.root / s.path) for s in sources), capture_output=True, text=True, check=True).stdout
    for line in listing.splitlines():
        tag = json.loads(line)
        lines = tag.get("end", tag["line"]) - tag["line"] + 1
        if lines > FUNCTION_LINES_MAX:
            path = pathlib.Path(tag["path"]).relative_to(house.root).as_posix()
            house.find("function-length", path, tag["line"], f"{tag['name']} has {lines} lines, at most {FUNCTION_LINES_MAX}: name its parts")


@rule("header")
def header(house):
    for source in house.cpp("src", "tests", "bench"):
        if not source.path.endswith(".h"):
            continue
        name = source.path.rsplit("/", 1)[1]
        if not source.lines[0].startswith(f"// {name}: "):
            house.find("header", source.path, 1, f"begins with '// {name}: <what it is>', then its role, input, output, invariants and threads")
        if "#pragma once" not in source.lines:
            house.find("header", source.path, 1, "lacks #pragma once")


@rule("readme")
def readme(house):
    for module in sorted(house.modules()):
        if not (house.root / "src" / module).is_dir():
            continue
        path = house.root / "src" / module / "README.md"
        if not path.exists():
            house.find("readme", f"src/{module}", 1, "lacks README.md: purpose, in, out, promises, files in reading order")
        elif len(path.read_text().splitlines()) > README_LINES_MAX:
            house.find("readme", f"src/{module}/README.md", README_LINES_MAX, f"longer than {README_LINES_MAX} lines")


@rule("rules-named")
def rules_named(house):
    mention = re.compile(r"\b[Rr]ules?\s+((?:[LIEPWRZ][1-7])(?:(?:\s*,\s*|\s+and\s+|\s+or\s+|\s*/\s*|,\s+and\s+)[LIEPWRZ][1-7])*)")
    for folder in ("src", "tests"):
        named = set()
        for source in house.sources:
            if source.path.startswith(folder + "/") and not source.path.startswith("tests/tidy/") and source.path != "src/fleet/planted.h":
                for found in mention.finditer(re.sub(r"\n\s*(?://|#)", " ", source.text)):
                    named.update(re.findall(r"[LIEPWRZ][1-7]", found.group(1)))
        for name in PROTOCOL_RULES:
            if name not in named:
                duty = "keeps" if folder == "src" else "proves"
                house.find("rules-named", folder, 1, f"no file names the code that {duty} it: write 'rule {name}' there (docs/rules.md)")


@rule("places")
def places(house):
    folders = "home|root|Users|work|workspace|builds|farm"
    hosts = r"registry\.npmjs|files\.pythonhosted|pypi\.org|repo1?\.maven|proxy\.golang|crates\.io|pkg\.dev|artifactory"
    expression = re.compile(r"(?:^|[\s\"'=(`:])/(?:" + folders + r")/|\b(?:" + hosts + r")\b")
    for path in tracked(house.root):
        if path.startswith(("tests/tidy/", "tests/golden/v1/", "tests/fuzz/corpus/")):
            continue
        for number, line in enumerate((house.root / path).read_text(encoding="utf-8", errors="replace").split("\n"), 1):
            found = expression.search(line)
            if found:
                house.find("places", path, number, f"'{found.group(0).strip()}': no machine's own paths, no hosts of package registries")


def tracked(root):
    """All files but what is built."""
    skip = re.compile(r"^(?:\.git|build[^/]*|\.cache|node_modules)$")
    pending, files = [root], []
    while pending:
        folder = pending.pop()
        for path in sorted(folder.iterdir()):
            if path.is_symlink() or (folder == root and skip.match(path.name)) or path.name in ("__pycache__", "node_modules"):
                continue
            if path.is_dir():
                pending.append(path)
            elif path.stat().st_size < 1_000_000:
                files.append(path.relative_to(root).as_posix())
    return files


@rule("bounds")
def bounds(house):
    house.find_pattern("bounds", house.cpp("src"), r"\bkMax[A-Z]\w*", "'{}': units and bounds come last: k…Max")
    house.find_pattern("bounds", house.cpp("src"), r"(?<![\w.>:])max_(?!attempts\b|losses\b|concurrent\b|ms\b|size\b|element\b)[a-z]\w*(?=\s*(?:[;={,)]|$))",
                       "'{}': units and bounds come last: …_max")


@rule("contracts")
def contracts(house):
    listed = {}
    path = house.root / "tests/tidy/interfaces.txt"
    for line in path.read_text().splitlines() if path.exists() else []:
        words = line.split("#")[0].split()
        if len(words) == 2:
            listed[words[0]] = words[1]
    for source in house.cpp("src"):
        if not source.path.endswith(".h") or not re.search(r"^// Role:\s+interface to the outside", source.text, re.M):
            continue
        suite = listed.get(source.path)
        if suite is None:
            house.find("contracts", source.path, 1, "is an interface to the outside: name its contract suite in tests/tidy/interfaces.txt")
        elif not (house.root / suite).exists():
            house.find("contracts", source.path, 1, f"its contract suite {suite} does not exist")


@rule("unfinished")
def unfinished(house):
    expression = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b|\bDISABLED_\w+|GTEST_SKIP\(\)\s*;")
    for source in house.sources:
        if source.path.startswith("tests/tidy/"):
            continue
        for number, line in enumerate(source.lines, 1):
            found = expression.search(line)
            if found:
                house.find("unfinished", source.path, number, f"'{found.group(0)}': finish it; a skip says why")


@rule("documented")
def documented(house):
    def text(path):
        return (house.root / path).read_text() if (house.root / path).exists() else ""
    for source, pattern, page in (("src/ops/config_rules.cc", r'"([a-z]+\.[a-z_.*]+|deployment_model)"', "docs/configuration.md"),
                                  ("src/ops/metrics.cc", r'"(laneway_[a-z_]+)"', "docs/http.md")):
        for name in dict.fromkeys(re.findall(pattern, text(source))):
            if "`" + name not in text(page):
                house.find("documented", source, 1, f"{name} is not in {page}")
    for path in tracked(house.root):
        if not path.endswith(".md"):
            continue
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text(path)):
            if not (house.root / path).parent.joinpath(target).exists():
                house.find("documented", path, 1, f"links to {target}, which does not exist")


def read_allowed(path):
    allowed = []
    for number, line in enumerate(path.read_text().splitlines() if path.exists() else [], 1):
        if not line.strip() or line.startswith("#"):
            continue
        words, _, reason = line.partition("#")
        parts = words.split()
        if len(parts) != 2 or not reason.strip() or parts[0] not in RULES:
            sys.exit(f"{path}:{number}: expected 'rule path-pattern # reason'")
        allowed.append((parts[0], parts[1]))
    return allowed


def check(root, only=None):
    """All findings that are not allowed, and the lines of allowed.txt that no longer allow anything."""
    house = House(root)
    for name, function in RULES.items():
        if only is None or name in only:
            function(house)
    allowed = read_allowed(root / "tests/tidy/allowed.txt")
    used, findings = set(), []
    for finding in house.findings:
        hits = [entry for entry in allowed if entry[0] == finding[0] and fnmatch.fnmatch(finding[1], entry[1])]
        used.update(hits)
        if not hits:
            findings.append(finding)
    stale = [entry for entry in allowed if entry not in used and (only is None or entry[0] in only)]
    return findings, stale


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[2])
    parser.add_argument("--warn", default="", help="rules that are reported only")
    parser.add_argument("--only", default="", help="check these rules")
    options = parser.parse_args()
    warn = set(filter(None, options.warn.split(",")))
    only = set(filter(None, options.only.split(","))) or None
    unknown = (warn | (only or set())) - RULES.keys()
    if unknown:
        sys.exit(f"unknown rule {', '.join(sorted(unknown))}; there are: {', '.join(RULES)}")
    findings, stale = check(options.root.resolve(), only)
    for name, path, line, what in findings:
        print(f"{path}:{line}: [{name}]{' (warning)' if name in warn else ''} {what}")
    for name, pattern in stale:
        print(f"tests/tidy/allowed.txt: '{name} {pattern}' allows nothing any more: remove it")
    failed = sum(1 for finding in findings if finding[0] not in warn) + len(stale)
    print(f"{len(RULES) if only is None else len(only)} rules, {len(findings)} findings, {failed} of them failures")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
