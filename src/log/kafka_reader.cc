#include "log/kafka_reader.h"

#include <algorithm>
#include <set>
#include <string>

#include "log/kafka_errors.h"
#include "log/kafka_topic_settings.h"
#include "log/text.h"

namespace laneway::log {
namespace {

using std::chrono::milliseconds;
constexpr milliseconds kAskEvery{1000};   // where somebody watches
constexpr milliseconds kAskAgain{100};    // a broker that could not say it
constexpr milliseconds kBehindWait{250};  // for records that are known to be there
constexpr milliseconds kFollowWait{1000};
constexpr milliseconds kHistoryIdle{10'000};
constexpr milliseconds kTailIdle{60'000};
constexpr milliseconds kLetGoEvery{1000};

}  // namespace

KafkaReader::KafkaReader(const KafkaOptions& options, std::shared_ptr<KafkaCauses> causes,
                         std::shared_ptr<KafkaBell> bell, KafkaAsks* asks, RangeOf range)
    : options_(options),
      causes_(std::move(causes)),
      bell_(std::move(bell)),
      asks_(asks),
      range_(std::move(range)) {}

KafkaReader::~KafkaReader() = default;

KafkaReader::Partition& KafkaReader::Of(TopicPartition partition) {
  {
    const std::shared_lock lock(partitions_mutex_);
    const auto found = partitions_.find(partition);
    if (found != partitions_.end()) return *found->second;
  }
  const std::unique_lock lock(partitions_mutex_);
  std::unique_ptr<Partition>& made = partitions_[partition];
  if (made == nullptr) made = std::make_unique<Partition>(partition);
  return *made;
}

std::vector<KafkaReader::Partition*> KafkaReader::All() {
  std::vector<Partition*> all;
  const std::shared_lock lock(partitions_mutex_);
  for (const auto& [name, partition] : partitions_) all.push_back(partition.get());
  return all;
}

absl::StatusOr<std::shared_ptr<KafkaHandle>> KafkaReader::HandleOf(Which which, Topic topic) {
  const std::lock_guard lock(handles_mutex_);
  std::shared_ptr<KafkaHandle>& handle = handles_[which == kHistory        ? kHistories
                                                  : topic == Topic::kLanes ? kLaneTails
                                                                           : kTails];
  if (handle == nullptr) {
    auto made = KafkaHandle::Make(KafkaRole::kReader, options_, causes_, bell_, nullptr);
    if (!made.ok()) return made.status();
    handle = *std::move(made);
  }
  return handle;
}

absl::Status KafkaReader::Move(Partition& partition, Which which, Offset from) {
  auto handle = HandleOf(which, partition.name.topic);
  if (!handle.ok()) return handle.status();
  partition.cursors[which].reset();  // a consumer has one stream of a partition
  moved_++;
  auto cursor = KafkaCursor::Start(*std::move(handle), partition.name, from, options_.recent_bytes_max,
                                   [this, &partition] { Dirty(partition); });
  if (!cursor.ok()) return cursor.status();
  partition.cursors[which] = *std::move(cursor);
  return absl::OkStatus();
}

void KafkaReader::Dirty(Partition& partition) {
  if (partition.dirty.exchange(true)) return;
  {
    const std::lock_guard lock(dirty_mutex_);
    dirty_.push_back(&partition);
  }
  bell_->Ring();
}

absl::StatusOr<KafkaCursor*> KafkaReader::CursorAt(Partition& partition, Offset from) {
  for (const std::unique_ptr<KafkaCursor>& cursor : partition.cursors) {
    if (cursor != nullptr && cursor->Has(from)) return cursor.get();
  }
  const KafkaCursor* const tail = partition.cursors[kTail].get();
  const bool kept = tail != nullptr && partition.watchers > 0 && tail->was_read();
  const Which which = kept ? kHistory : kTail;
  if (absl::Status status = Move(partition, which, from); !status.ok()) return status;
  return partition.cursors[which].get();
}

absl::StatusOr<RecordBatch> KafkaReader::Read(TopicPartition name, Offset from, size_t bytes_max) {
  const Clock::time_point called = Clock::now();
  const bool may_wait = std::this_thread::get_id() != server_.load();
  Partition& partition = Of(name);
  std::unique_lock lock(partition.mutex);
  RecordBatch batch;
  batch.next_offset = from;
  while (true) {
    if (from < partition.low) return Outside(partition, from);
    auto at = CursorAt(partition, from);
    if (!at.ok()) return at.status();
    KafkaCursor& cursor = **at;
    cursor.Take(from, bytes_max, &batch);
    if (!batch.records.empty()) return batch;
    if (cursor.error() != RD_KAFKA_RESP_ERR_NO_ERROR) {
      if (absl::Status status = WhyEnded(lock, partition, cursor, from); !status.ok()) return status;
      continue;
    }
    const Verdict verdict = Judge(partition, cursor, called);
    if (verdict == Verdict::kEmpty || !may_wait) return batch;
    if (verdict == Verdict::kOutside) return Outside(partition, from);
    if (verdict == Verdict::kLost) return OutOfTouch(partition);
    const bool behind = partition.end_as_of >= AsOf(partition, cursor, called);
    // Who follows was at the end before, and is told soon that he is not any more.
    const bool follows = Followed(partition, cursor) && cursor.complete_as_of() != Clock::time_point();
    const Clock::time_point until = called + (follows ? kBehindWait : options_.answer_timeout);
    if (Clock::now() >= until) return OutOfTouch(partition);
    if (!behind && !partition.end_wanted) {
      partition.end_wanted = true;
      if (partition.lost_as_of < called) {  // else it is asked again in a moment
        ask_now_ = true;
        bell_->Ring();
      }
    }
    partition.changed.wait_until(lock, until);
  }
}

bool KafkaReader::Followed(const Partition& partition, const KafkaCursor& cursor) {
  return partition.watchers > 0 && &cursor == partition.cursors[kTail].get();
}

// What the brokers said of the partition's end before this is out of date.
KafkaReader::Clock::time_point KafkaReader::AsOf(const Partition& partition, const KafkaCursor& cursor,
                                                 Clock::time_point called) const {
  if (!Followed(partition, cursor)) return called;
  return std::max(called - options_.contact_max, cursor.started_at());
}

// Nothing has come from this place on: is there nothing?
KafkaReader::Verdict KafkaReader::Judge(Partition& partition, KafkaCursor& cursor,
                                        Clock::time_point called) const {
  cursor.SawEnd(partition.end, partition.end_as_of);
  const Clock::time_point as_of = AsOf(partition, cursor, called);
  // A place behind the end is one where nothing was ever read.
  const bool fresh = cursor.first() == cursor.next() && cursor.started_at() <= partition.end_as_of;
  if (fresh && cursor.next() > partition.end && partition.end_as_of >= as_of) return Verdict::kOutside;
  if (cursor.complete_as_of() >= as_of) return Verdict::kEmpty;
  if (partition.end_as_of >= as_of && cursor.next() < partition.end) {
    cursor.SkipMarks();
    cursor.SawEnd(partition.end, partition.end_as_of);
    if (cursor.complete_as_of() >= as_of) return Verdict::kEmpty;
  }
  // Who follows is told at once; who waits for an answer waits for all of answer_timeout.
  const bool lost = partition.lost_as_of > partition.end_as_of;
  return lost && Followed(partition, cursor) ? Verdict::kLost : Verdict::kWait;
}

absl::Status KafkaReader::Outside(Partition& partition, Offset from) {
  std::string what =
      Cat(KafkaTopicName(options_.prefix, partition.name.topic), "/", partition.name.partition);
  if (from < partition.low)
    return absl::OutOfRangeError(
        Cat(what, ": ", from, " lies before ", partition.low, ", the oldest record kept"));
  for (std::unique_ptr<KafkaCursor>& cursor : partition.cursors) {
    if (cursor != nullptr && cursor->first() == from && cursor->next() == from) cursor.reset();
  }
  return absl::OutOfRangeError(Cat(what, ": ", from, " lies behind the end, ", partition.end));
}

absl::Status KafkaReader::OutOfTouch(const Partition& partition) const {
  return causes_->Explain(
      Cat("read ", KafkaTopicName(options_.prefix, partition.name.topic), "/", partition.name.partition),
      RD_KAFKA_RESP_ERR__TIMED_OUT);
}

// The stream has ended. OK: it may be begun again.
absl::Status KafkaReader::WhyEnded(std::unique_lock<std::mutex>& lock, Partition& partition,
                                   KafkaCursor& cursor, Offset from) {
  const rd_kafka_resp_err_t error = cursor.error();
  const std::string text = cursor.error_text();
  for (std::unique_ptr<KafkaCursor>& one : partition.cursors) {
    if (one.get() == &cursor) one.reset();
  }
  const std::string what =
      Cat("read ", KafkaTopicName(options_.prefix, partition.name.topic), "/", partition.name.partition);
  if (KafkaCode(error) != absl::StatusCode::kOutOfRange) return KafkaStatus(error, what, text);
  // librdkafka tells it in words only
  if (text.find(rd_kafka_err2str(RD_KAFKA_RESP_ERR__LOG_TRUNCATION)) != std::string::npos)
    return KafkaStatus(RD_KAFKA_RESP_ERR__LOG_TRUNCATION, what, text);
  if (std::this_thread::get_id() == server_.load()) return absl::UnavailableError(Cat(what, ": ", text));
  lock.unlock();
  const auto range = range_(partition.name);
  lock.lock();
  if (!range.ok()) return range.status();
  partition.low = std::max(partition.low, range->first);
  partition.end = range->next;
  if (from < range->first || from > range->next) return Outside(partition, from);
  return absl::OkStatus();
}

void KafkaReader::ReadSoon(const std::vector<std::pair<TopicPartition, Offset>>& from) {
  for (const auto& [name, offset] : from) {
    Partition& partition = Of(name);
    const std::lock_guard lock(partition.mutex);
    (void)CursorAt(partition, offset);  // Read says what went wrong
  }
}

void KafkaReader::Trimmed(TopicPartition name, Offset below) {
  Partition& partition = Of(name);
  const std::lock_guard lock(partition.mutex);
  partition.low = std::max(partition.low, below);
}

void KafkaReader::Follow(const std::vector<TopicPartition>& partitions) {
  std::vector<Partition*> without;
  for (const TopicPartition& name : partitions) {
    Partition& partition = Of(name);
    const std::lock_guard lock(partition.mutex);
    partition.watchers++;
    if (partition.cursors[kTail] == nullptr) without.push_back(&partition);
  }
  if (without.empty()) return;
  ask_now_ = true;
  bell_->Ring();
  const Clock::time_point until = Clock::now() + kFollowWait;
  const bool may_wait = std::this_thread::get_id() != server_.load();
  for (Partition* const partition : without) {
    std::unique_lock lock(partition->mutex);
    const auto known = [&] { return partition->cursors[kTail] != nullptr; };
    if (!may_wait || !partition->changed.wait_until(lock, until, known)) partition->wake_late = true;
  }
}

void KafkaReader::Unfollow(const std::vector<TopicPartition>& partitions) {
  for (const TopicPartition& name : partitions) {
    Partition& partition = Of(name);
    const std::lock_guard lock(partition.mutex);
    partition.watchers--;
  }
}

KafkaReader::Clock::time_point KafkaReader::Serve(Watches* watches) {
  server_ = std::this_thread::get_id();
  std::array<std::shared_ptr<KafkaHandle>, kConsumers> handles;
  {
    const std::lock_guard lock(handles_mutex_);
    handles = handles_;
  }
  for (const std::shared_ptr<KafkaHandle>& handle : handles) {
    if (handle != nullptr) handle->Poll();
  }
  ServeDirty(watches);
  const Clock::time_point now = Clock::now();
  if (!asking_ && (ask_now_.load() || now >= ask_at_)) AskForEnds(now);
  if (now >= let_go_at_ + kLetGoEvery) LetGo(now);
  return std::min(ask_at_, let_go_at_ + kLetGoEvery);
}

void KafkaReader::ServeDirty(Watches* watches) {
  std::vector<Partition*> dirty;
  {
    const std::lock_guard lock(dirty_mutex_);
    dirty.swap(dirty_);
  }
  if (dirty.empty()) return;
  std::vector<TopicPartition> names;
  for (Partition* const partition : dirty) {
    partition->dirty = false;
    std::array<bool, 2> news{};
    {
      const std::lock_guard lock(partition->mutex);
      for (const Which which : {kTail, kHistory})
        news[which] = partition->cursors[which] != nullptr && partition->cursors[which]->LookAhead();
      news[kTail] |= std::exchange(partition->wake_late, false);
    }
    if (news[kTail] || news[kHistory]) partition->changed.notify_all();
    if (news[kTail]) names.push_back(partition->name);  // who reads history waits for it
  }
  if (!names.empty()) watches->Wake(names);
}

void KafkaReader::AskForEnds(Clock::time_point now) {
  ask_now_ = false;
  ask_at_ = now + kAskEvery;
  std::vector<Partition*> asked;
  std::vector<std::pair<std::string, int32_t>> names;
  for (Partition* const partition : All()) {
    const std::lock_guard lock(partition->mutex);
    if (partition->watchers == 0 && !partition->end_wanted) continue;
    partition->end_wanted = false;
    asked.push_back(partition);
    names.emplace_back(KafkaTopicName(options_.prefix, partition->name.topic),
                       static_cast<int32_t>(partition->name.partition));
  }
  if (asked.empty()) return;
  asking_ = true;
  asks_->Ends(names, [this, now, asked](std::span<const KafkaAsks::End> ends) {
    asking_ = false;
    TakeEnds(now, asked, ends);
    if (ask_now_.load()) bell_->Ring();
  });
}

void KafkaReader::TakeEnds(Clock::time_point sent, const std::vector<Partition*>& asked,
                           std::span<const KafkaAsks::End> ends) {
  if (!ends.empty()) causes_->Clear();
  rd_kafka_resp_err_t refused = RD_KAFKA_RESP_ERR_NO_ERROR;
  std::set<std::string> moved;
  for (Partition* const partition : asked) {
    const std::string name = KafkaTopicName(options_.prefix, partition->name.topic);
    const auto found = std::find_if(ends.begin(), ends.end(), [&](const KafkaAsks::End& end) {
      return end.partition == static_cast<int32_t>(partition->name.partition) && end.topic == name;
    });
    const std::lock_guard lock(partition->mutex);
    if (found == ends.end()) {
      partition->lost_as_of = sent;
      ask_at_ = std::min(ask_at_, Clock::now() + kAskAgain);
    } else if (found->error == RD_KAFKA_RESP_ERR_NO_ERROR) {
      TakeEnd(*partition, found->next, sent);
    } else if (KafkaCode(found->error) == absl::StatusCode::kUnavailable) {
      partition->end_wanted = true;  // a new leader will say it
      moved.insert(name);
      ask_at_ = std::min(ask_at_, Clock::now() + kAskAgain);
    } else {
      partition->lost_as_of = sent;
      refused = found->error;
    }
    partition->changed.notify_all();
  }
  for (const std::string& topic : moved) asks_->Partitions(topic, [](const absl::Status&, uint32_t) {});
  if (refused != RD_KAFKA_RESP_ERR_NO_ERROR) causes_->Complain(refused, rd_kafka_err2str(refused));
}

void KafkaReader::TakeEnd(Partition& partition, Offset end, Clock::time_point as_of) {
  partition.end = end;
  partition.end_as_of = as_of;
  for (const std::unique_ptr<KafkaCursor>& cursor : partition.cursors) {
    if (cursor != nullptr) cursor->SawEnd(end, as_of);
  }
  if (partition.watchers == 0 || partition.cursors[kTail] != nullptr) return;
  (void)Move(partition, kTail, end);  // tried again with the next end
  if (partition.wake_late) Dirty(partition);
}

void KafkaReader::LetGo(Clock::time_point now) {
  let_go_at_ = now;
  for (Partition* const partition : All()) {
    const std::lock_guard lock(partition->mutex);
    std::unique_ptr<KafkaCursor>& history = partition->cursors[kHistory];
    if (history != nullptr && now - history->used_at() > kHistoryIdle) history.reset();
    std::unique_ptr<KafkaCursor>& tail = partition->cursors[kTail];
    if (tail != nullptr && partition->watchers == 0 && now - tail->used_at() > kTailIdle) tail.reset();
    if (history != nullptr) histories_used_at_ = now;
  }
  std::shared_ptr<KafkaHandle> unused;
  const std::lock_guard lock(handles_mutex_);
  if (handles_[kHistories] != nullptr && now - histories_used_at_ > kTailIdle)
    unused.swap(handles_[kHistories]);
}

void KafkaReader::Close() {
  for (Partition* const partition : All()) {
    const std::lock_guard lock(partition->mutex);
    for (std::unique_ptr<KafkaCursor>& cursor : partition->cursors) cursor.reset();
  }
  const std::lock_guard lock(handles_mutex_);
  for (std::shared_ptr<KafkaHandle>& handle : handles_) handle.reset();
}

}  // namespace laneway::log
