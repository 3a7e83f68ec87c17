// kafka_reader.h: reading. Cursors follow partitions; what they have fetched is served to everyone who reads
// there.
//
// Role:       turns Read(partition, offset), which may name any place, into librdkafka's streams. Each
//             partition has a *tail* cursor, which goes on where somebody reads on, and a *history* cursor
//             for those who read elsewhere meanwhile. Tails share a consumer, those of lanes another: a
//             fetch names all partitions of its consumer, and lanes are many. All histories share a third,
//             which lives while it is used.
// Invariants: (1) a cursor's window is a run of records without holes: from its first to the next to be
//             fetched; (2) the tail of a partition somebody watches is not moved away once it was read; (3)
//             what librdkafka has fetched and nobody has read is bounded for each partition (its queue), what
//             was read and is kept for others too (recent_bytes_max); (4) "nothing more" is said only of a
//             cursor that had read up to an end that the brokers named lately: after the call began, or,
//             where somebody watches, no longer than contact_max ago. Nobody is told that silence is the end.
// Threads:    Read, Watch and the like from any; Serve and the answers of KafkaAsks on the log's thread.
#pragma once

#include <librdkafka/rdkafka.h>

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "log/kafka_asks.h"
#include "log/kafka_cursor.h"
#include "log/kafka_handle.h"
#include "log/watches.h"

namespace laneway::log {

class KafkaReader {
 public:
  using Clock = std::chrono::steady_clock;
  using RangeOf = std::function<absl::StatusOr<OffsetRange>(TopicPartition)>;

  KafkaReader(const KafkaOptions& options, std::shared_ptr<KafkaCauses> causes,
              std::shared_ptr<KafkaBell> bell, KafkaAsks* asks, RangeOf range);
  ~KafkaReader();

  // The partition exists.
  absl::StatusOr<RecordBatch> Read(TopicPartition partition, Offset from, size_t bytes_max);
  void ReadSoon(const std::vector<std::pair<TopicPartition, Offset>>& from);
  // What was trimmed here is not read here any more.
  void Trimmed(TopicPartition partition, Offset below);

  // The partitions' ends, as they are now, begin to be followed where nobody reads yet.
  void Follow(const std::vector<TopicPartition>& partitions);
  void Unfollow(const std::vector<TopicPartition>& partitions);

  // The log's thread, the first time to say which one that is: tells those who wait that records have come;
  // asks for ends; lets go what is not used. Returns when it has to be called again.
  Clock::time_point Serve(Watches* watches);
  void Close();

  uint64_t moved() const { return moved_.load(std::memory_order_relaxed); }

 private:
  enum Which : uint8_t { kTail, kHistory };
  enum Consumer : uint8_t { kTails, kLaneTails, kHistories, kConsumers };
  struct Partition {
    explicit Partition(TopicPartition of) : name(of) {}
    const TopicPartition name;
    std::atomic<bool> dirty{false};
    std::mutex mutex;
    std::condition_variable changed;
    std::array<std::unique_ptr<KafkaCursor>, 2> cursors;
    int watchers = 0;
    bool wake_late = false;          // a watch began when nobody could say where the end is
    bool end_wanted = false;         // by a read, now
    Offset low = 0;                  // of what we trimmed
    Offset end = 0;                  // as the brokers named it
    Clock::time_point end_as_of{};   // when they were asked
    Clock::time_point lost_as_of{};  // when they were asked and gave no answer
  };
  enum class Verdict { kEmpty, kOutside, kWait, kLost };

  Partition& Of(TopicPartition partition);
  absl::StatusOr<KafkaCursor*> CursorAt(Partition& partition, Offset from);
  absl::Status Move(Partition& partition, Which which, Offset from);
  absl::StatusOr<std::shared_ptr<KafkaHandle>> HandleOf(Which which, Topic topic);
  static bool Followed(const Partition& partition, const KafkaCursor& cursor);
  Clock::time_point AsOf(const Partition& partition, const KafkaCursor& cursor,
                         Clock::time_point called) const;
  Verdict Judge(Partition& partition, KafkaCursor& cursor, Clock::time_point called) const;
  absl::Status WhyEnded(std::unique_lock<std::mutex>& lock, Partition& partition, KafkaCursor& cursor,
                        Offset from);
  absl::Status Outside(Partition& partition, Offset from);
  absl::Status OutOfTouch(const Partition& partition) const;
  std::vector<Partition*> All();

  void ServeDirty(Watches* watches);
  void AskForEnds(Clock::time_point now);
  void TakeEnds(Clock::time_point sent, const std::vector<Partition*>& asked,
                std::span<const KafkaAsks::End> ends);
  void TakeEnd(Partition& partition, Offset end, Clock::time_point as_of);
  void LetGo(Clock::time_point now);
  void Dirty(Partition& partition);

  const KafkaOptions& options_;
  const std::shared_ptr<KafkaCauses> causes_;
  const std::shared_ptr<KafkaBell> bell_;
  KafkaAsks* const asks_;
  const RangeOf range_;
  std::atomic<std::thread::id> server_;

  std::shared_mutex partitions_mutex_;
  std::map<TopicPartition, std::unique_ptr<Partition>> partitions_;  // never removed
  std::mutex handles_mutex_;
  std::array<std::shared_ptr<KafkaHandle>, kConsumers> handles_;

  std::mutex dirty_mutex_;  // taken under librdkafka's locks: nothing is called while it is held
  std::vector<Partition*> dirty_;

  std::atomic<bool> ask_now_{false};
  bool asking_ = false;  // this and what follows: the log's thread
  Clock::time_point ask_at_{};
  Clock::time_point let_go_at_{};
  Clock::time_point histories_used_at_{};
  std::atomic<uint64_t> moved_{0};
};

}  // namespace laneway::log
