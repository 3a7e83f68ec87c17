#include "worker/executor/ending.h"

#include <gtest/gtest.h>
#include <signal.h>

#include "worker/executor/text.h"

namespace laneway::worker {
namespace {

TEST(EndingTest, WhatAnExitMeans) {
  using std::chrono::milliseconds;
  const auto stop = StopCause::kStop;
  const struct {
    ExitFacts facts;
    v1::Ending ending;
    const char* message;
  } rows[] = {
      {{.exit_code = 0}, v1::ENDING_UNSPECIFIED, ""},
      {{.exit_code = 1}, v1::EXIT_CODE, "exit 1"},
      {{.exit_code = 65}, v1::BAD_INPUT, "exit 65: bad input"},
      {{.exit_code = 75}, v1::TRY_AGAIN, "exit 75: try again"},
      {{.signal = SIGSEGV, .core_dumped = true}, v1::SIGNAL, "killed by SIGSEGV (core dumped)"},
      {{.signal = SIGKILL, .out_of_memory = true},
       v1::OUT_OF_MEMORY,
       "out of memory: the kernel killed it (killed by SIGKILL)"},
      {{.cause = StopCause::kTimeout, .timeout = milliseconds(2000)},
       v1::TIMEOUT,
       "stopped after 2 s (timeout; exit 0)"},
      {{.exit_code = 65, .cause = StopCause::kTimeout, .timeout = milliseconds(1500)},
       v1::TIMEOUT,
       "stopped after 1500 ms (timeout; exit 65)"},
      {{.cause = stop}, v1::STOPPED, "stopped: cancelled (exit 0)"},
      {{.signal = SIGKILL, .cause = stop, .stop_reason = StopReason::kShutdown, .out_of_memory = true},
       v1::STOPPED,
       "stopped: the worker shuts down (killed by SIGKILL)"},
      {{.signal = SIGKILL, .cause = StopCause::kTooManyProcesses, .processes_max = 9},
       v1::SIGNAL,
       "more than 9 processes (killed by SIGKILL)"},
      {{.exit_code = 2, .stuck = true},
       v1::EXIT_CODE,
       "exit 2; a process of it cannot be killed (it waits in the kernel)"},
  };
  for (const auto& row : rows) {
    Ended ended;
    Judge(row.facts, "", &ended);
    EXPECT_EQ(ended.ending, row.ending) << row.message;
    EXPECT_EQ(ended.ok, row.ending == v1::ENDING_UNSPECIFIED);
    EXPECT_EQ(ended.message, row.message);
  }
}

TEST(EndingTest, TheMessageKeepsTheLastLinesWithinItsBound) {
  Ended ended;
  std::string output;
  for (int i = 0; i < 1000; i++) output += "l\xc3\xa4ngst \x1b[1mvorbei\x1b[0m\r\n";
  Judge({.exit_code = 3}, output + "the reason\n\n", &ended);
  EXPECT_LE(ended.message.size(), kMessageBytesMax);
  EXPECT_GT(ended.message.size(), kMessageBytesMax - 3);
  EXPECT_TRUE(ended.message.starts_with("exit 3\n"));
  EXPECT_TRUE(ended.message.ends_with("l\xc3\xa4ngst vorbei\nthe reason"));
}

TEST(TextTest, Clean) {
  const struct {
    std::string in, want;
  } rows[] = {
      {"plain\ttext\n", "plain\ttext\n"},
      {"a\r\nb\rc", "a\nb\nc"},
      {std::string("a\0b\x07\x7f"
                   "c",
                   6),
       "abc"},
      {"\x1b[1;31mred\x1b[0m\x1b]0;title\x07!\x1b(B.\x1b", "red!B."},
      {"\xff\xc3\xa4\xed\xa0\x80\xc0\xaf",
       "\xef\xbf\xbd\xc3\xa4\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
      {"\xc2\x9b"
       "31m",
       "31m"},
  };
  for (const auto& row : rows) EXPECT_EQ(CleanText(row.in), row.want) << testing::PrintToString(row.in);
  EXPECT_EQ(HeadOf("\xc3\xa4\xc3\xa4", 3), "\xc3\xa4");
  EXPECT_EQ(TailOf("\xc3\xa4\xc3\xa4", 3), "\xc3\xa4");
  EXPECT_EQ(SignalName(SIGTERM), "SIGTERM");
  EXPECT_EQ(SignalName(99), "signal 99");
}

}  // namespace
}  // namespace laneway::worker
