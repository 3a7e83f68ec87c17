#include "log/kafka.h"

#include <atomic>
#include <mutex>
#include <thread>

#include "log/kafka_admin.h"
#include "log/kafka_asks.h"
#include "log/kafka_conf.h"
#include "log/kafka_handle.h"
#include "log/kafka_offsets.h"
#include "log/kafka_producer.h"
#include "log/kafka_reader.h"
#include "log/kafka_topic_settings.h"
#include "log/text.h"
#include "log/watches.h"

namespace laneway::log {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kAskTimeout{2'000};  // of what the log's thread asks
constexpr milliseconds kTick{200};          // with appends that wait for their topic
constexpr milliseconds kCloseWait{5'000};

class KafkaLogImpl final : public KafkaLog {
 public:
  explicit KafkaLogImpl(KafkaOptions options)
      : options_(std::move(options)),
        causes_(std::make_shared<KafkaCauses>(options_.on_note)),
        bell_(std::make_shared<KafkaBell>()),
        asks_(bell_, kAskTimeout),
        producer_(options_, causes_, bell_, &asks_, &counts_),
        admin_(options_, causes_, [this] { return producer_.instance(); }),
        reader_(options_, causes_, bell_, &asks_,
                [this](TopicPartition partition) { return admin_.Range(partition); }),
        offsets_(options_, causes_, bell_),
        watches_(std::make_shared<Watches>()) {}

  ~KafkaLogImpl() override {
    if (!thread_.joinable()) return;
    stop_ = true;
    bell_->Ring();
    thread_.join();
  }

  absl::Status Start() {
    if (absl::Status status = producer_.Open(); !status.ok()) return status;
    thread_ = std::thread([this] { Run(); });
    return absl::OkStatus();
  }

  void Append(std::vector<NewRecord> records, AppendDone done) override {
    producer_.Append(std::move(records), std::move(done));
  }

  absl::StatusOr<RecordBatch> Read(TopicPartition partition, Offset from, size_t bytes_max) override {
    if (absl::Status status = Exists(partition); !status.ok()) return status;
    return reader_.Read(partition, from, bytes_max);
  }

  void ReadSoon(const std::vector<std::pair<TopicPartition, Offset>>& from) override {
    reader_.ReadSoon(from);
  }

  absl::StatusOr<OffsetRange> Range(TopicPartition partition) override {
    if (absl::Status status = Exists(partition); !status.ok()) return status;
    return admin_.Range(partition);
  }

  absl::Status EnsureTopic(Topic topic, uint32_t partitions) override;
  absl::StatusOr<uint32_t> Partitions(Topic topic) override;
  absl::Status Trim(TopicPartition partition, Offset below) override;
  std::unique_ptr<Watch> WatchPartitions(std::vector<TopicPartition> partitions,
                                         std::function<void()> wake) override;

  absl::Status Reach(milliseconds timeout) override { return admin_.Reach(timeout); }
  absl::StatusOr<std::vector<std::string>> CheckTopic(Topic topic) override;
  void CommitOffsets(std::string_view group, const std::vector<std::pair<TopicPartition, Offset>>& next,
                     Committed done) override;
  KafkaStats stats() const override {
    return {producer_.queued_bytes(), producer_.replaced(), reader_.moved()};
  }

 private:
  struct Commit {
    std::string group;
    KafkaOffsets::Next next;
    Committed done;
  };
  // A watch may outlive its log.
  struct Followed {
    explicit Followed(KafkaReader* of) : reader(of) {}
    std::mutex mutex;
    KafkaReader* reader;
  };
  class Handle;

  void Run();
  void ServeCommits();
  absl::Status Exists(TopicPartition partition);
  std::atomic<uint32_t>& CountOf(Topic topic) { return counts_[static_cast<size_t>(topic)]; }

  const KafkaOptions options_;
  const std::shared_ptr<KafkaCauses> causes_;
  const std::shared_ptr<KafkaBell> bell_;
  KafkaPartitionCounts counts_{};
  KafkaAsks asks_;
  KafkaProducer producer_;
  KafkaAdmin admin_;
  KafkaReader reader_;
  KafkaOffsets offsets_;
  const std::shared_ptr<Watches> watches_;
  std::mutex commits_mutex_;
  std::vector<Commit> commits_;
  const std::shared_ptr<Followed> followed_ = std::make_shared<Followed>(&reader_);
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

class KafkaLogImpl::Handle final : public Watch {
 public:
  Handle(std::unique_ptr<Watch> watch, std::shared_ptr<Followed> followed,
         std::vector<TopicPartition> partitions)
      : watch_(std::move(watch)), followed_(std::move(followed)), partitions_(std::move(partitions)) {}
  ~Handle() override {
    watch_.reset();
    const std::lock_guard lock(followed_->mutex);
    if (followed_->reader != nullptr) followed_->reader->Unfollow(partitions_);
  }

 private:
  std::unique_ptr<Watch> watch_;
  const std::shared_ptr<Followed> followed_;
  const std::vector<TopicPartition> partitions_;
};

void KafkaLogImpl::Run() {
  while (!stop_.load()) {
    asks_.Use(producer_.instance());
    asks_.Serve();
    producer_.Serve();
    ServeCommits();
    const Clock::time_point due = reader_.Serve(watches_.get());
    bell_->Wait(std::min(due, Clock::now() + kTick));
  }
  producer_.Close(Clock::now() + kCloseWait);
  {
    const std::lock_guard lock(followed_->mutex);
    followed_->reader = nullptr;
  }
  asks_.Use(nullptr);
  reader_.Close();
}

// So that an unknown partition is told from one without records.
absl::Status KafkaLogImpl::Exists(TopicPartition partition) {
  if (partition.partition < CountOf(partition.topic).load()) return absl::OkStatus();
  const auto partitions = Partitions(partition.topic);
  if (!partitions.ok()) return partitions.status();
  if (partition.partition < *partitions) return absl::OkStatus();
  return absl::InvalidArgumentError(
      Cat(admin_.NameOf(partition.topic), " has no partition ", partition.partition));
}

absl::StatusOr<uint32_t> KafkaLogImpl::Partitions(Topic topic) {
  const auto facts = admin_.Facts(topic, false);
  if (!facts.ok()) return facts.status();
  CountOf(topic) = static_cast<uint32_t>(facts->partitions);
  return static_cast<uint32_t>(facts->partitions);
}

absl::StatusOr<std::vector<std::string>> KafkaLogImpl::CheckTopic(Topic topic) {
  const auto facts = admin_.Facts(topic, true);
  if (!facts.ok()) return facts.status();
  return CheckTopicSettings(topic, admin_.NameOf(topic), options_.events_retention_ms, *facts);
}

absl::Status KafkaLogImpl::EnsureTopic(Topic topic, uint32_t partitions) {
  auto known = Partitions(topic);
  if (absl::IsInvalidArgument(known.status()) && options_.manage_topics) {
    if (absl::Status status = admin_.Create(topic, partitions);
        !status.ok() && !absl::IsAlreadyExists(status))
      return status;
  } else if (!known.ok()) {
    return known.status();
  } else if (*known < partitions) {
    if (!options_.manage_topics) {
      return absl::FailedPreconditionError(Cat(admin_.NameOf(topic), " has ", *known,
                                               " partitions, but needs ", partitions,
                                               "; `laneway topics ensure` adds them"));
    }
    // another member may have been faster
    if (absl::Status status = admin_.Grow(topic, partitions);
        !status.ok() && !absl::IsInvalidArgument(status))
      return status;
  } else if (!options_.manage_topics) {
    return absl::OkStatus();
  }
  // It is there: from here on who does not know it is late.
  if (absl::Status status = admin_.AwaitPartitions(topic, partitions); !status.ok())
    return NotYetKnown(status);
  if (known = Partitions(topic); !known.ok()) return NotYetKnown(known.status());
  const auto wrong = CheckTopic(topic);
  if (!wrong.ok()) return NotYetKnown(wrong.status());
  if (wrong->empty()) return absl::OkStatus();
  std::string text = "this topic can lose data";
  for (const std::string& sentence : *wrong) text += Cat("; ", sentence);
  return absl::FailedPreconditionError(text);
}

absl::Status KafkaLogImpl::Trim(TopicPartition partition, Offset below) {
  if (absl::Status status = Exists(partition); !status.ok()) return status;
  if (absl::Status status = admin_.Trim(partition, below); !status.ok()) return status;
  reader_.Trimmed(partition, below);
  return absl::OkStatus();
}

std::unique_ptr<Watch> KafkaLogImpl::WatchPartitions(std::vector<TopicPartition> partitions,
                                                     std::function<void()> wake) {
  std::unique_ptr<Watch> watch = watches_->Add(partitions, std::move(wake));
  reader_.Follow(partitions);
  return std::make_unique<Handle>(std::move(watch), followed_, std::move(partitions));
}

void KafkaLogImpl::CommitOffsets(std::string_view group,
                                 const std::vector<std::pair<TopicPartition, Offset>>& next, Committed done) {
  Commit commit{Cat(options_.prefix, group), next, std::move(done)};
  {
    const std::lock_guard lock(commits_mutex_);
    commits_.push_back(std::move(commit));
  }
  bell_->Ring();
}

void KafkaLogImpl::ServeCommits() {
  std::vector<Commit> commits;
  {
    const std::lock_guard lock(commits_mutex_);
    commits.swap(commits_);
  }
  offsets_.Serve();
  for (Commit& commit : commits) offsets_.Commit(commit.group, commit.next, std::move(commit.done));
}

}  // namespace

absl::StatusOr<std::unique_ptr<KafkaLog>> KafkaLog::Open(KafkaOptions options) {
  std::vector<std::string> problems = CheckKafkaSettings(options.settings);
  if (options.brokers.empty()) problems.emplace_back("log.brokers is empty: name at least one HOST:PORT");
  if (!problems.empty()) {
    std::string text;
    for (const std::string& problem : problems) text += Cat(text.empty() ? "" : "; ", problem);
    return absl::InvalidArgumentError(text);
  }
  auto log = std::make_unique<KafkaLogImpl>(std::move(options));
  if (absl::Status status = log->Start(); !status.ok()) return status;
  return log;
}

}  // namespace laneway::log
