#include "worker/notes.h"

#include <algorithm>
#include <utility>

namespace laneway::worker {
namespace {

std::optional<AttemptKey> KeyOf(const v1::AttemptNote& note) {
  const auto job = JobId::FromBytes(note.job_id());
  if (!job || note.task() == 0 || note.attempt() == 0) return std::nullopt;
  return AttemptKey{TaskId{*job, note.task()}, note.attempt()};
}

}  // namespace

void NotesFold::Forget(const AttemptKey& key) {
  open_.erase(key);
  uint32_t& had = had_[key.task];
  had = std::max(had, key.attempt);
  over_.push_back(key.task);
}

void NotesFold::Fold(uint64_t seq, const v1::WorkerNotes& notes) {
  // This step exists, so the one before it was answered OK: its results were appended.
  for (const AttemptKey& key : std::exchange(in_doubt_, {})) Forget(key);
  last_seq_ = seq;
  for (const v1::AttemptNote& note : notes.attempts()) {
    const auto key = KeyOf(note);
    if (!key) continue;
    if (note.stage() == v1::FORGOTTEN) {
      Forget(*key);
      continue;
    }
    if (note.stage() == v1::HELD_UNSPECIFIED) continue;
    auto [it, made] = open_.try_emplace(*key);
    Open& open = it->second;
    if (made) open.order = ++order_;
    RestoredAttempt& attempt = open.attempt;
    attempt.key = *key;
    attempt.stage = note.stage();
    if (note.has_packet()) attempt.packet = note.packet();
    if (note.lane() != 0 || note.offset() != 0) {
      attempt.lane = note.lane();
      attempt.offset = note.offset();
    }
    if (note.stage() == v1::FINISHED) {
      attempt.result = note.result();
      in_doubt_.push_back(*key);
    }
  }
  for (const v1::LaneNote& note : notes.lanes()) {
    lanes_[note.lane()] = {note.next_offset(), note.epoch(), note.released()};
  }
  drained_ = notes.drained();
}

Restored NotesFold::Take() && {
  Restored restored;
  restored.next_seq = last_seq_ + 1;
  std::vector<Open*> open;
  for (auto& [key, value] : open_) open.push_back(&value);
  std::sort(open.begin(), open.end(), [](const Open* a, const Open* b) { return a->order < b->order; });
  for (Open* value : open) restored.attempts.push_back(std::move(value->attempt));
  restored.lanes = std::move(lanes_);
  restored.drained = drained_;
  for (const TaskId& task : over_) {
    const auto it = had_.find(task);
    if (it == had_.end()) continue;
    restored.tombstones.push_back({task, it->second});
    had_.erase(it);
  }
  return restored;
}

std::string JournalPrefix(const WorkerId& worker) { return "w/" + worker.name + "/j/"; }

std::string JournalKey(const WorkerId& worker, uint64_t seq) {
  std::string key = JournalPrefix(worker);
  for (int shift = 56; shift >= 0; shift -= 8) key.push_back(static_cast<char>(seq >> shift & 0xff));
  return key;
}

std::optional<uint64_t> JournalSeq(std::string_view key) {
  if (key.size() < 8) return std::nullopt;
  uint64_t seq = 0;
  for (const char c : key.substr(key.size() - 8)) seq = seq << 8 | static_cast<uint8_t>(c);
  return seq;
}

}  // namespace laneway::worker
