// What is asked again at a start, how long, and what is told of it.
#include "node/patience.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "node/patient_log.h"

namespace laneway::node {
namespace {

// A clock that goes on only while somebody waits or is asked.
struct Brokers {
  Millis now{1000};
  Millis answer_takes{5000};
  std::vector<std::string> notes;
  int asked = 0;
  bool stop = false;

  PatiencePorts Ports() {
    return {[this] { return now; },
            [this](Millis pause) {
              now += pause;
              return stop;
            },
            [this](const std::string& text) { notes.push_back(text); }};
  }
  absl::Status Answer(const absl::Status& status) {
    asked++;
    now += answer_takes;
    return status;
  }
};

TEST(PatienceTest, AnAnswerThatComesTooLateIsAskedForAgainAndToldOnce) {
  Brokers brokers;
  Patience patience(brokers.Ports());
  const auto slow = [&](int until) {
    return [&, until]() -> absl::StatusOr<int> {
      absl::Status status =
          brokers.Answer(brokers.asked + 1 < until ? absl::UnavailableError("timed out") : absl::OkStatus());
      if (!status.ok()) return status;
      return brokers.asked;
    };
  };
  EXPECT_EQ(*patience.Asked(slow(4)), 4);
  EXPECT_EQ(*patience.Asked(slow(7)), 7) << "each question has all its time";
  EXPECT_EQ(brokers.notes,
            (std::vector<std::string>{"Waits for an answer of the brokers, and asks again: timed out"}));
}

TEST(PatienceTest, AfterAMinuteTheLastAnswerCounts) {
  Brokers brokers;
  Patience patience(brokers.Ports());
  const absl::Status got =
      patience.Asked([&] { return brokers.Answer(absl::UnavailableError("timed out")); });
  EXPECT_TRUE(absl::IsUnavailable(got));
  EXPECT_GE(brokers.now, Millis(60'000));
  EXPECT_LE(brokers.now, Millis(75'000));
}

TEST(PatienceTest, WhatWaitingDoesNotCureIsToldAtOnce) {
  for (const absl::Status& status :
       {absl::PermissionDeniedError("wrong password"), absl::InvalidArgumentError("no such topic"),
        absl::FailedPreconditionError("can lose data"), absl::DataLossError("damaged"), absl::OkStatus()}) {
    Brokers brokers;
    Patience patience(brokers.Ports());
    EXPECT_EQ(patience.Asked([&] { return brokers.Answer(status); }), status);
    EXPECT_EQ(brokers.asked, 1) << status;
    EXPECT_TRUE(brokers.notes.empty());
  }
}

TEST(PatienceTest, WhoIsToEndWaitsNoLongerAndWithoutAWaitNothingIsAskedTwice) {
  Brokers brokers;
  brokers.stop = true;
  Patience stopped(brokers.Ports());
  const absl::Status ended = stopped.Asked([&] { return brokers.Answer(absl::UnavailableError("late")); });
  EXPECT_EQ(ended.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(brokers.asked, 1);
  Patience none({});
  EXPECT_FALSE(none.Asked([&] { return brokers.Answer(absl::UnavailableError("late")); }).ok());
  EXPECT_EQ(brokers.asked, 2);
}

// Answers each question the second time.
class SlowLog : public log::Log {
 public:
  int asked = 0;

  void Append(std::vector<log::NewRecord>, log::AppendDone done) override {
    done(absl::UnavailableError("late"), {});
  }
  absl::StatusOr<log::RecordBatch> Read(log::TopicPartition, Offset, size_t) override {
    return Late(log::RecordBatch{});
  }
  absl::StatusOr<log::OffsetRange> Range(log::TopicPartition) override { return Late(log::OffsetRange{}); }
  absl::Status EnsureTopic(log::Topic, uint32_t) override { return Late(0).status(); }
  absl::StatusOr<uint32_t> Partitions(log::Topic) override { return Late(uint32_t{3}); }
  absl::Status Trim(log::TopicPartition, Offset) override { return Late(0).status(); }
  std::unique_ptr<log::Watch> WatchPartitions(std::vector<log::TopicPartition>,
                                              std::function<void()>) override {
    return nullptr;
  }

 private:
  template <class T>
  absl::StatusOr<T> Late(T answer) {
    if (++asked % 2 != 0) return absl::UnavailableError("late");
    return answer;
  }
};

TEST(PatientLogTest, WhatAStartAsksIsAskedAgainAndLaterNothing) {
  Brokers brokers;
  Patience patience(brokers.Ports());
  SlowLog slow;
  PatientLog log(&slow, &patience);
  const log::TopicPartition events{log::Topic::kEvents, 0};
  EXPECT_TRUE(log.Partitions(log::Topic::kEvents).ok());
  EXPECT_TRUE(log.Range(events).ok());
  EXPECT_TRUE(log.Read(events, 0, 1).ok());
  EXPECT_TRUE(log.EnsureTopic(log::Topic::kEvents, 1).ok());
  log.Settle();
  EXPECT_FALSE(log.Read(events, 0, 1).ok()) << "the fold knows what to do, and does not wait";
  EXPECT_EQ(slow.asked, 9);
}

}  // namespace
}  // namespace laneway::node
