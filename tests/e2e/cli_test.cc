// The real binary against a server that answers as the API does.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "api/http_server.h"
#include "ops/strict_json.h"

namespace laneway {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

struct Result {
  int code = -1;
  std::string out;
  std::string err;
};

// Runs the binary with its stdin closed; neither of its ends is a terminal.
Result RunCli(const std::vector<std::string>& words, const std::vector<std::string>& environment = {},
              const std::string& folder = "") {
  int out[2];
  int err[2];
  EXPECT_EQ(pipe2(out, O_CLOEXEC), 0);
  EXPECT_EQ(pipe2(err, O_CLOEXEC), 0);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, out[1], 1);
  posix_spawn_file_actions_adddup2(&actions, err[1], 2);
  if (!folder.empty()) posix_spawn_file_actions_addchdir_np(&actions, folder.c_str());
  std::vector<char*> argv = {const_cast<char*>(LANEWAY_BINARY)};
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  std::vector<char*> variables = {const_cast<char*>("PATH=/usr/bin:/bin")};
  for (const std::string& variable : environment) variables.push_back(const_cast<char*>(variable.c_str()));
  variables.push_back(nullptr);
  pid_t pid = 0;
  EXPECT_EQ(posix_spawn(&pid, LANEWAY_BINARY, &actions, nullptr, argv.data(), variables.data()), 0);
  posix_spawn_file_actions_destroy(&actions);
  close(out[1]);
  close(err[1]);
  Result result;
  pollfd ends[2] = {{out[0], POLLIN, 0}, {err[0], POLLIN, 0}};
  while (ends[0].fd >= 0 || ends[1].fd >= 0) {
    if (poll(ends, 2, 60'000) <= 0) {
      kill(pid, SIGKILL);
      ADD_FAILURE() << "hangs";
      break;
    }
    for (pollfd& end : ends) {
      char buffer[65536];
      if (end.fd < 0 || end.revents == 0) continue;
      const ssize_t got = read(end.fd, buffer, sizeof buffer);
      if (got > 0) (&end == ends ? result.out : result.err).append(buffer, static_cast<size_t>(got));
      if (got <= 0) end.fd = -1;
    }
  }
  close(out[0]);
  close(err[0]);
  int status = 0;
  waitpid(pid, &status, 0);
  result.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

constexpr char kJob[] =
    R"({"job_id":"01J0000000000000000000000A","name":"a\u001b[31m.csv","state":"SUCCEEDED",)"
    R"("submitted_at":"2026-11-21T06:15:02.123Z",)"
    R"("tasks":{"total":2,"succeeded":2,"dead":0}})";

class CliTest : public testing::Test {
 protected:
  void SetUp() override {
    std::vector<api::Route> routes;
    const auto answer = [&](const char* method, const char* pattern,
                            std::function<api::HttpResponse(const api::HttpRequest&)> make) {
      routes.push_back({method, pattern,
                        [this, make = std::move(make)](const api::HttpRequest& request, api::Reply reply) {
                          {
                            std::lock_guard lock(mutex_);
                            seen_.push_back(request.method + " " + request.target + " " + request.body);
                          }
                          reply(make(request));
                        }});
    };
    answer("GET", "/api/v1/jobs", [](const api::HttpRequest& request) {
      const bool second = request.Query("cursor") == "two";
      return api::JsonResponse(std::string("{\"jobs\":[") + kJob +
                               "],\"next_cursor\":" + (second ? "null" : "\"two\"") + "}");
    });
    answer("GET", "/api/v1/jobs/{id}", [](const api::HttpRequest& request) {
      return request.Path("id") == "none" ? api::ProblemResponse(404, "there is no job none")
                                          : api::JsonResponse(kJob);
    });
    answer("POST", "/api/v1/jobs/{id}/cancel", [](const api::HttpRequest& request) {
      return request.Path("id") == "over" ? api::ProblemResponse(409, "the job has ended")
                                          : api::JsonResponse("{}");
    });
    answer("POST", "/start_job", [](const api::HttpRequest& request) {
      return request.body.find("bad") != std::string::npos
                 ? api::ProblemResponse(400, "2 mistakes", {"exec: missing", "nam: unknown"})
                 : api::JsonResponse("{\"job_id\":\"01J0000000000000000000000A\"}", 202);
    });
    answer("POST", "/api/v1/dead/redrive",
           [](const api::HttpRequest&) { return api::JsonResponse("{\"redriven\":1}"); });
    answer("GET", "/api/v1/workers", [](const api::HttpRequest&) {
      return api::JsonResponse(
          R"({"workers":[{"id":"DTF-01","state":"UP","lanes":[1,2]}],"next_cursor":null})");
    });
    answer("POST", "/api/v1/workers/{id}/{action}",
           [](const api::HttpRequest&) { return api::JsonResponse("{}"); });
    answer("GET", "/api/v1/workers/{id}", [this](const api::HttpRequest&) {
      return api::JsonResponse(std::string(R"({"id":"DTF-01","state":"DRAINING","running":0,"queued":0,)") +
                               R"("drained":)" + (asked_++ < 2 ? "false}" : "true}"));
    });
    answer("GET", "/readyz", [](const api::HttpRequest&) {
      return api::JsonResponse(R"({"checks":[{"name":"log","ok":true}]})");
    });
    auto server = api::HttpServer::Start({.listen = {.host = "127.0.0.1", .port = 0}}, std::move(routes));
    ASSERT_TRUE(server.ok());
    server_ = std::move(*server);
    api_ = "LANEWAY_API=http://127.0.0.1:" + std::to_string(server_->address().port);
  }
  Result Ask(const std::vector<std::string>& words) { return RunCli(words, {api_}); }
  std::string Seen() {
    std::lock_guard lock(mutex_);
    std::string all;
    for (const std::string& line : seen_) all += line + "\n";
    return all;
  }

  std::unique_ptr<api::HttpServer> server_;
  std::string api_;
  std::mutex mutex_;
  std::vector<std::string> seen_;
  std::atomic<int> asked_ = 0;  // for a worker
};

TEST_F(CliTest, ReadsInEveryForm) {
  const Result table = Ask({"job", "ls", "--limit", "1"});
  EXPECT_EQ(table.code, 0) << table.err;
  EXPECT_EQ(table.out,
            "JOB\tNAME\tSTATE\tSUBMITTED\tTASKS\tDONE\tDEAD\n"
            "01J0000000000000000000000A\ta\\x1B[31m.csv\tSUCCEEDED\t2026-11-21T06:15:02.123Z\t2\t2\t0\n");
  EXPECT_EQ(Ask({"job", "ls", "-o", "name", "--limit", "1"}).out, "01J0000000000000000000000A\n");
  EXPECT_THAT(Ask({"worker", "ls", "-o", "wide"}).out, HasSubstr("1,2"));
  const Result json = Ask({"job", "ls", "-o", "json", "--limit", "1"});
  const ops::ParsedJson parsed = ops::ParseStrictJson(json.out);
  ASSERT_TRUE(parsed.readable);
  EXPECT_EQ(parsed.root.Find("jobs")->items.size(), 1u);
  const Result lines = Ask({"job", "ls", "-o", "jsonl", "--limit", "0"});
  EXPECT_EQ(std::count(lines.out.begin(), lines.out.end(), '\n'), 2) << "all pages";
  EXPECT_THAT(Seen(), HasSubstr("cursor=two"));
}

TEST_F(CliTest, FiltersBecomeTheQuery) {
  Ask({"job", "ls", "--state", "FAILED", "--name", "a b&c", "--since", "2026-11-21"});
  EXPECT_THAT(Seen(), AllOf(HasSubstr("state=FAILED"), HasSubstr("name=a%20b%26c"),
                            HasSubstr("since=2026-11-21T00%3A00%3A00.000Z")));
}

TEST_F(CliTest, ExitCodesOfTheApisAnswers) {
  EXPECT_EQ(Ask({"job", "show", "none"}).code, 3);
  EXPECT_THAT(Ask({"job", "show", "none"}).err, HasSubstr("there is no job none"));
  EXPECT_EQ(Ask({"job", "cancel", "over", "--yes"}).code, 5);
  EXPECT_EQ(Ask({"health"}).code, 0);
  EXPECT_EQ(Ask({"health", "--wait", "--timeout", "60s"}).code, 0);
  const Result away = RunCli({"job", "ls", "--api", "http://127.0.0.1:1"});
  EXPECT_EQ(away.code, 4);
  EXPECT_THAT(away.err, AllOf(HasSubstr("cannot reach the fleet at http://127.0.0.1:1"),
                              HasSubstr("`laneway up` starts one")));
  EXPECT_EQ(RunCli({"job", "ls", "--api", "file:///etc/passwd"}).code, 2);
}

TEST_F(CliTest, WhatDestroysAsksAndNeverHangs) {
  const Result unasked = Ask({"job", "cancel", "a", "b"});
  EXPECT_EQ(unasked.code, 2);
  EXPECT_THAT(unasked.err,
              AllOf(HasSubstr("will cancel job a"), HasSubstr("will cancel job b"), HasSubstr("--yes")));
  EXPECT_EQ(Ask({"job", "cancel", "a", "--dry-run"}).code, 0);
  EXPECT_EQ(Ask({"dead", "redrive", "--all"}).code, 2);
  EXPECT_EQ(Seen(), "");
  const Result done = Ask({"job", "cancel", "a", "--yes", "--reason", "wrong \"file\""});
  EXPECT_EQ(done.code, 0) << done.err;
  EXPECT_THAT(Seen(), HasSubstr(R"(POST /api/v1/jobs/a/cancel {"reason":"wrong \"file\"","by":)"));
  EXPECT_EQ(Ask({"dead", "redrive", "x/1", "-y"}).code, 0);
  EXPECT_THAT(Seen(), HasSubstr(R"({"ids":["x/1"],"reason":"","by":)"));
}

TEST_F(CliTest, StartsAndWaits) {
  const std::string path = testing::TempDir() + "/cli_job.json";
  std::ofstream(path) << "{\"handler\":\"noop\"}";
  const Result started = Ask({"job", "start", path, "--wait"});
  EXPECT_EQ(started.code, 0) << started.err;
  EXPECT_EQ(started.out, "01J0000000000000000000000A\n");
  EXPECT_THAT(started.err, HasSubstr("2/2 100%"));
  std::ofstream(path) << "bad";
  const Result refused = Ask({"job", "start", path});
  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.err, AllOf(HasSubstr("2 mistakes"), HasSubstr("\n  exec: missing\n  nam: unknown")));
  EXPECT_EQ(Ask({"job", "start", "/nonexistent.json"}).code, 3);
}

// Between two tasks it runs nothing, and is not drained for that.
TEST_F(CliTest, ADrainIsOverWhenTheWorkerSaysSo) {
  const Result drained = Ask({"worker", "drain", "DTF-01", "--yes", "--wait"});
  EXPECT_EQ(drained.code, 0) << drained.err;
  EXPECT_EQ(asked_, 3);
  asked_ = -1'000'000;
  const Result late = Ask({"worker", "drain", "DTF-01", "--yes", "--wait", "--timeout", "1ms"});
  EXPECT_EQ(late.code, 1);
  EXPECT_THAT(late.err, HasSubstr("DTF-01 still runs 0 and holds 0 more after 1ms"));
}

TEST_F(CliTest, SubmitsFilesUnderTheirNamesAndNeverOverATakenOne) {
  const std::string zone = testing::TempDir() + "/cli_zone_" + std::to_string(getpid());
  std::filesystem::create_directories(zone + "/incoming");
  const std::string file = zone + "/a b.csv";
  std::ofstream(file) << "1,2\n";
  const Result first = Ask({"job", "submit", "--zone", zone, file, "--wait"});
  EXPECT_EQ(first.code, 0) << first.err;
  EXPECT_EQ(first.out.size(), 27u);
  std::ifstream copied(zone + "/incoming/a b.csv");
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(copied), {}), "1,2\n");
  const Result again = Ask({"job", "submit", "--zone", zone, file, zone + "/none"});
  EXPECT_EQ(again.code, 3);
  EXPECT_THAT(again.err, AllOf(HasSubstr("File exists"), HasSubstr("No such file")));
  for (const auto& entry : std::filesystem::directory_iterator(zone + "/incoming"))
    EXPECT_EQ(entry.path().filename(), "a b.csv");
  std::filesystem::remove_all(zone);
}

struct Row {
  std::vector<std::string> words;
  int code;
  const char* want;  // part of stdout and stderr together
};

TEST(CliUsageTest, MistakesEndWithTwoAndSayWhatWasMeant) {
  const Row rows[] = {
      {{}, 0, "Examples:"},
      {{"--help"}, 0, "Usage: laneway"},
      {{"--version"}, 0, "rocksdb"},
      {{"jbo"}, 2, "unknown command: jbo (did you mean job?)"},
      {{"worker", "darin", "DTF-01"}, 2, "did you mean drain?"},
      {{"job", "ls", "--staet", "FAILED"}, 2, "unknown option: --staet (did you mean --state?)"},
      {{"job", "ls", "-o", "yaml"}, 2, "allowed: table, wide, json, jsonl, name"},
      {{"job", "ls", "--limit", "many"}, 2, "--limit"},
      {{"job", "ls", "--since", "soon"}, 2, "allowed: a time as"},
      {{"job", "show"}, 2, "JOB is required"},
      {{"job", "show", "a", "b"}, 2, "one word too many: b"},
      {{"job"}, 2, "needs a command"},
      {{"dead", "redrive"}, 2, "or --all"},
      {{"up", "--exec"}, 2, "--exec needs a program"},
      {{"up"}, 2, "job.exec: found nothing, and no job.handler"},
      {{"up", "--workers", "1001", "--capacity", "x", "--exec", "run", "--help"},
       2,
       "2 mistakes in the configuration"},
      {{"up", "--config", "/nonexistent.json"}, 2, "cannot be read: No such file or directory"},
      {{"config", "check", "--set", "job.timeout=soon"}, 2, "flag --set: job.timeout: found \"soon\""},
      {{"config", "check"}, 0, "fine"},
      {{"config", "show", "--origin", "--set", "zone.path=z"}, 0, "# flag --set"},
      {{"completion", "bash"}, 0, "complete -o default -F _laneway laneway"},
      {{"completion", "fish"}, 0, "-a drain"},
      {{"completion", "zsh"}, 0, "#compdef laneway"},
      {{"completion", "tcsh"}, 2, "laneway completion knows: bash, zsh, fish"},
      {{"health", "--timeout", "60"}, 2, "--timeout"},
  };
  for (const Row& row : rows) {
    const Result result = RunCli(row.words, {}, testing::TempDir());
    EXPECT_EQ(result.code, row.code) << testing::PrintToString(row.words) << result.err;
    EXPECT_THAT(result.out + result.err, HasSubstr(row.want)) << testing::PrintToString(row.words);
    if (row.code == 2) {
      EXPECT_EQ(result.out, "") << testing::PrintToString(row.words);
    }
  }
}

TEST(CliUsageTest, BashUnderstandsItsCompletion) {
  const std::string path = testing::TempDir() + "/laneway_completion_" + std::to_string(getpid());
  std::ofstream(path) << RunCli({"completion", "bash"}).out;
  const std::string script =
      "bash -c 'source " + path +
      "; COMP_WORDS=(laneway job s); COMP_CWORD=2; _laneway; printf \"%s \" \"${COMPREPLY[@]}\"'";
  std::unique_ptr<FILE, int (*)(FILE*)> bash(popen(script.c_str(), "r"), pclose);
  char line[256] = {};
  ASSERT_NE(fgets(line, sizeof line, bash.get()), nullptr);
  EXPECT_STREQ(line, "submit start show ");
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace laneway
