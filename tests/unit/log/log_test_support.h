// log_test_support.h: what the tests of the embedded log share.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "log/embedded.h"

namespace laneway::log {

inline constexpr TopicPartition kEvents0{Topic::kEvents, 0};

class TestFolder {
 public:
  explicit TestFolder(const std::filesystem::path& below = std::filesystem::temp_directory_path()) {
    std::string path = (below / "laneway_log_XXXXXX").string();
    if (::mkdtemp(path.data()) == nullptr) std::abort();
    path_ = path;
  }
  ~TestFolder() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }
  std::string Sub(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

inline EmbeddedOptions Options(const std::string& folder) {
  EmbeddedOptions options;
  options.folder = folder;
  options.free_bytes_reserve = 1;
  options.check_everything = true;
  return options;
}

inline std::unique_ptr<EmbeddedEngine> MustOpen(EmbeddedOptions options) {
  auto engine = EmbeddedEngine::Open(std::move(options));
  EXPECT_TRUE(engine.ok()) << engine.status();
  if (!engine.ok()) return nullptr;
  EXPECT_TRUE((*engine)->log().EnsureTopic(Topic::kEvents, 2).ok());
  return *std::move(engine);
}

struct Appended {
  absl::Status status;
  std::vector<Offset> offsets;
};

inline Appended Append(Log& log, std::vector<NewRecord> records) {
  std::promise<Appended> answer;
  log.Append(std::move(records), [&](const absl::Status& status, std::span<const Offset> offsets) {
    answer.set_value({status, {offsets.begin(), offsets.end()}});
  });
  return answer.get_future().get();
}

inline Appended Append(Log& log, TopicPartition to, const std::string& value) {
  return Append(log, {{to, RecordType::kEvent, "k", value}});
}

inline Appended CommitJournal(Journal& journal, std::vector<StoreOp> notes, std::vector<NewRecord> records) {
  std::promise<Appended> answer;
  journal.Commit(std::move(notes), std::move(records),
                 [&](const absl::Status& status, std::span<const Offset> offsets) {
                   answer.set_value({status, {offsets.begin(), offsets.end()}});
                 });
  return answer.get_future().get();
}

// Values of all records of a partition; an error when one cannot be read.
inline absl::StatusOr<std::vector<std::string>> Values(Log& log, TopicPartition partition) {
  std::vector<std::string> values;
  auto range = log.Range(partition);
  if (!range.ok()) return range.status();
  for (Offset at = range->first; at < range->next;) {
    auto batch = log.Read(partition, at, 1 << 20);
    if (!batch.ok()) return batch.status();
    for (const RecordView& record : batch->records) values.emplace_back(record.value);
    at = batch->next_offset;
  }
  return values;
}

}  // namespace laneway::log
