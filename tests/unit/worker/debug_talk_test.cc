#include "worker/browser/debug_talk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace laneway::worker {
namespace {

using testing::HasSubstr;

constexpr char kVersion[] = R"({"Browser":"HeadlessChrome/156.0.8078.108",)"
                            R"("webSocketDebuggerUrl":"ws://127.0.0.1:9222/devtools/browser/b047"})";

TEST(DebugTalkTest, TheVersionNamesTheBrowserAndItsPath) {
  const auto version = ParseDebugVersion(kVersion);
  ASSERT_TRUE(version.ok()) << version.status();
  EXPECT_EQ(version->major, 156);
  EXPECT_EQ(version->path, "/devtools/browser/b047");
}

TEST(DebugTalkTest, WhatIsNoBrowserIsRefused) {
  for (const std::string text :
       {"", "<html>", "[]", "{}", R"({"Browser":"Chrome/1"})",
        R"({"Browser":"Chrome/1","webSocketDebuggerUrl":7})",
        R"({"Browser":"Chrome/1","webSocketDebuggerUrl":"x"})",
        R"({"Browser":"Chrome/1","webSocketDebuggerUrl":"ws://a/b c"})",
        R"({"Browser":"Chrome/1","webSocketDebuggerUrl":"ws://a/b\r\nHost: evil"})"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseDebugVersion(text).status())) << text;
  }
}

std::string Answer(int id, const std::string& result) {
  return "{\"id\":" + std::to_string(id) + ",\"result\":" + result + "}";
}

TEST(DebugTalkTest, AnAnsweredVersionIsHealth) {
  DebugTalk talk;
  EXPECT_THAT(talk.Ask(Probe::kVersion), HasSubstr("Browser.getVersion"));
  EXPECT_FALSE(talk.Take(R"({"method":"Target.targetCreated","params":{}})").done)
      << "an event answers nothing";
  EXPECT_FALSE(talk.Take(Answer(7, "{}")).done) << "nor does the answer to somebody else";
  const auto step = talk.Take(Answer(1, "{}"));
  ASSERT_TRUE(step.done);
  EXPECT_TRUE(step.done->ok);
  EXPECT_FALSE(talk.Take(Answer(1, "{}")).done) << "once";
}

TEST(DebugTalkTest, APageIsMadeAskedAndClosed) {
  DebugTalk talk;
  EXPECT_THAT(talk.Ask(Probe::kPage), HasSubstr("Target.createTarget"));
  auto step = talk.Take(Answer(1, R"({"targetId":"T"})"));
  EXPECT_THAT(step.send, HasSubstr(R"("targetId":"T","flatten":true)"));
  step = talk.Take(Answer(2, R"({"sessionId":"S"})"));
  EXPECT_THAT(step.send, HasSubstr(R"("expression":"1+1")"));
  EXPECT_THAT(step.send, HasSubstr(R"("sessionId":"S")"));
  step = talk.Take(Answer(3, R"({"result":{"type":"number","value":2}})"));
  EXPECT_THAT(step.send, HasSubstr("Target.closeTarget"));
  step = talk.Take(Answer(4, R"({"success":true})"));
  ASSERT_TRUE(step.done);
  EXPECT_TRUE(step.done->ok);
}

TEST(DebugTalkTest, APageThatCannotEvaluateIsClosedAndTold) {
  DebugTalk talk;
  talk.Ask(Probe::kPage);
  talk.Take(Answer(1, R"({"targetId":"T"})"));
  auto step = talk.Take(R"({"id":2,"error":{"code":-32000,"message":"Target closed"}})");
  EXPECT_THAT(step.send, HasSubstr("Target.closeTarget"));
  EXPECT_FALSE(step.done);
  step = talk.Take(R"({"id":3,"error":{"message":"no such target"}})");
  ASSERT_TRUE(step.done);
  EXPECT_FALSE(step.done->ok);
  EXPECT_EQ(step.done->why, "Target closed");

  talk.Ask(Probe::kPage);
  step = talk.Take(R"({"id":4,"error":{"message":"no"}})");
  ASSERT_TRUE(step.done);
  EXPECT_FALSE(step.done->ok);
  EXPECT_TRUE(step.send.empty()) << "there is no page to be closed";
}

}  // namespace
}  // namespace laneway::worker
