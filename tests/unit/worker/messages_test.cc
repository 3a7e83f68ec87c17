#include "worker/executor/messages.h"

#include <gtest/gtest.h>

#include <random>

namespace laneway::worker::wire {
namespace {

std::vector<Message> Samples() {
  StartRun start{7,
                 {JobId{1, 2}, 3},
                 4,
                 "DTF-01",
                 {"bash", "", std::string("\0x", 2)},
                 {"A=b", "C=\xff"},
                 "/logs/x",
                 1000,
                 10000,
                 4096,
                 50};
  RunReported reported{8, {}};
  reported.report.percent = 40;
  reported.report.message = "half";
  reported.report.output = "{}";
  RunEnded ended{9, {}};
  ended.ended.ending = v1::SIGNAL;
  ended.ended.signal = 9;
  ended.ended.exit_code = -1;
  ended.ended.message = "killed";
  ended.ended.duration = std::chrono::milliseconds(1234);
  ended.ended.output_bytes = UINT64_MAX;
  return {Configure{"/data", IncarnationId{5, 6}, "settings"},
          AddWorker{"DTF-02", IncarnationId{7, 8}},
          start,
          StopRun{9, 2},
          Quit{},
          Configured{"", 3},
          RunStarted{1, 2, 3},
          reported,
          ended};
}

std::string Encoded(const Message& message) {
  std::string bytes;
  EXPECT_TRUE(Append(message, &bytes));
  return bytes;
}

TEST(MessagesTest, WhatIsSentIsReceivedHoweverItIsCut) {
  std::string all;
  for (const Message& message : Samples()) all += Encoded(message);
  for (size_t piece : {size_t{1}, size_t{5}, size_t{64}, all.size()}) {
    FrameReader reader;
    std::string again;
    for (size_t at = 0; at < all.size(); at += piece) {
      reader.Feed(std::string_view(all).substr(at, piece));
      while (true) {
        auto message = reader.Next();
        ASSERT_TRUE(message.ok());
        if (!*message) break;
        again += Encoded(**message);
      }
    }
    EXPECT_EQ(again, all);
  }
}

TEST(MessagesTest, FieldsArriveWhole) {
  FrameReader reader;
  reader.Feed(Encoded(Samples()[2]));
  const auto message = reader.Next();
  ASSERT_TRUE(message.ok() && message->has_value());
  const auto& start = std::get<StartRun>(**message);
  EXPECT_EQ(start.task, (TaskId{JobId{1, 2}, 3}));
  EXPECT_EQ(start.argv[2], std::string("\0x", 2));
  EXPECT_EQ(start.environment[1], "C=\xff");
  EXPECT_EQ(start.processes_max, 50u);
}

TEST(MessagesTest, WhatNobodySentIsRefused) {
  const std::string rows[] = {
      std::string("\0\0\0\0", 4),                    // no type
      std::string("\xff\xff\xff\xff", 4),            // too long
      std::string("\1\0\0\0\x63", 5),                // no such type
      std::string("\2\0\0\0\4x", 6),                 // something after Quit
      std::string("\5\0\0\0\0\xff\xff\xff\xff", 9),  // a string longer than its frame
      std::string("\1\0\0\0\3", 5),                  // a StopRun without fields
  };
  for (const std::string& bytes : rows) {
    FrameReader reader;
    reader.Feed(bytes);
    EXPECT_FALSE(reader.Next().ok());
  }
  std::string huge;
  EXPECT_FALSE(Append(Configure{std::string(kFrameBytesMax, 'x'), {}, {}}, &huge));
  EXPECT_TRUE(huge.empty());
}

TEST(MessagesTest, EveryDamagedByteIsReadOrRefused) {
  std::mt19937 random(1);
  for (const Message& message : Samples()) {
    const std::string good = Encoded(message);
    for (size_t at = 0; at < good.size(); at++) {
      std::string bad = good;
      bad[at] = static_cast<char>(random());
      FrameReader reader;
      reader.Feed(bad);
      while (true) {
        auto read = reader.Next();
        if (!read.ok() || !*read) break;
      }
    }
  }
}

}  // namespace
}  // namespace laneway::worker::wire
