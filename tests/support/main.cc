// main.cc: main() of every test program. GoogleTest's own, and three things more:
//
// (1) a skip that tests/expected-skips.txt does not name is a failure, so that nothing goes untested
// unnoticed; (2) a failed case prints the one command line that runs it again; (3) a program that ran no case
// at all fails.
#include <fnmatch.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

// A test program that also serves as something else, when it is started with certain arguments, defines this:
// see companion_main.cc. Whether it was, and its exit code.
extern "C" __attribute__((weak)) bool TestProgramServes(int argc, char** argv, int* exit_code);

namespace {

std::vector<std::string> ReadPatterns(const char* path) {
  std::vector<std::string> patterns;
  std::ifstream file(path);
  if (!file) {
    std::cerr << "cannot read " << path << "\n";
    std::exit(2);
  }
  for (std::string line; std::getline(file, line);) {
    std::string pattern;
    std::string reason;
    std::istringstream words(line);
    if (!(words >> pattern) || pattern[0] == '#') continue;
    if (!(words >> reason)) {
      std::cerr << path << ": '" << pattern << "' has no reason\n";
      std::exit(2);
    }
    patterns.push_back(pattern);
  }
  return patterns;
}

class House : public testing::EmptyTestEventListener {
 public:
  House(std::string program, std::vector<std::string> may_skip)
      : program_(std::move(program)), may_skip_(std::move(may_skip)) {}

  int unexpected_skips() const { return unexpected_skips_; }

 private:
  void OnTestEnd(const testing::TestInfo& test) override {
    const std::string name = std::string(test.test_suite_name()) + "." + test.name();
    if (test.result()->Failed()) {
      std::cout << "again:  " << program_ << " --gtest_filter='" << name << "'\n";
    } else if (test.result()->Skipped() && !MaySkip(name)) {
      std::cout << "UNEXPECTED SKIP: " << name << " (tests/expected-skips.txt does not name it)\n";
      ++unexpected_skips_;
    }
  }

  bool MaySkip(const std::string& name) const {
    for (const std::string& pattern : may_skip_) {
      if (fnmatch(pattern.c_str(), name.c_str(), 0) == 0) return true;
    }
    return false;
  }

  std::string program_;
  std::vector<std::string> may_skip_;
  int unexpected_skips_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  int exit_code = 0;
  if (TestProgramServes != nullptr && TestProgramServes(argc, argv, &exit_code)) return exit_code;
  testing::InitGoogleMock(&argc, argv);
  const bool only_list = testing::GTEST_FLAG(list_tests);
  auto* house = new House(argv[0], ReadPatterns(LANEWAY_EXPECTED_SKIPS));  // GoogleTest owns it
  testing::UnitTest::GetInstance()->listeners().Append(house);
  const int failed = RUN_ALL_TESTS();
  if (failed != 0 || only_list) return failed;
  if (testing::UnitTest::GetInstance()->test_to_run_count() == 0) {
    std::cout << "no test has run\n";
    return 1;
  }
  return house->unexpected_skips() == 0 ? 0 : 1;
}
