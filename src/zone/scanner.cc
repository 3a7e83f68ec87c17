#include "zone/scanner.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "zone/path.h"

namespace laneway::zone {
namespace {

constexpr std::string_view kIncoming = "incoming";

std::string Full(std::string_view path) {
  return path.empty() ? std::string(kIncoming) : Concat({kIncoming, "/", path});
}

// Why something can never become a job; empty when it may.
std::string WhyRefused(std::string_view path, FileKind kind, uint32_t links) {
  switch (kind) {
    case FileKind::kSymlink:
      return "a symbolic link";
    case FileKind::kOther:
      return "a FIFO, socket or device";
    case FileKind::kFolder:
      return "folders deeper than 32";
    case FileKind::kRegular:
      break;
  }
  if (links > 1) return Concat({"has ", std::to_string(links), " hard links"});
  if (absl::Status status = CheckUserPath(path); !status.ok()) return std::string(status.message());
  return {};
}

void Order(std::vector<Refused>& list) {
  std::sort(list.begin(), list.end(), [](const Refused& a, const Refused& b) { return a.path < b.path; });
}

// The oldest first: that is the order in which they become jobs.
void Order(std::vector<Identity>& list) {
  std::sort(list.begin(), list.end(), [](const Identity& a, const Identity& b) {
    return std::tie(a.mtime_ns, a.path, a.inode) < std::tie(b.mtime_ns, b.path, b.inode);
  });
}

void Order(Findings& findings) {
  Order(findings.complete);
  Order(findings.vanished);
  Order(findings.refused);
  Order(findings.unreadable);
}

}  // namespace

Identity Scanner::IdentityOf(std::string_view path, const Known& known) {
  return {.path = std::string(path), .size = known.size, .mtime_ns = known.mtime_ns, .inode = known.inode};
}

Findings Scanner::Scan(MonotonicTime now) {
  Findings findings;
  pass_++;
  deadline_.reset();
  not_seen_.clear();
  Walk("", now, findings);
  TellVanished(findings);
  for (const auto& [path, known] : known_) {
    if (known.kind != FileKind::kRegular) continue;
    findings.present++;
    if (known.state == State::kWaiting) findings.waiting++;
    if (known.state == State::kWaiting && IsUnfinishedName(NameOf(path))) findings.unfinished++;
    if (findings.oldest_mtime_ns == 0 || known.mtime_ns < findings.oldest_mtime_ns) {
      findings.oldest_mtime_ns = known.mtime_ns;
    }
  }
  Order(findings);
  return findings;
}

void Scanner::Walk(std::string folder, MonotonicTime now, Findings& findings) {
  std::vector<std::string> folders = {std::move(folder)};
  while (!folders.empty()) {
    const std::string at = std::move(folders.back());
    folders.pop_back();
    absl::StatusOr<std::vector<FolderItem>> items = fs_->ListWithInfo(Full(at));
    if (absl::IsNotFound(items.status()) && !at.empty())
      continue;  // removed meanwhile, with all that was in it
    if (!items.ok()) {
      Unreadable(at, std::string(items.status().message()), findings);
      continue;
    }
    if (!unreadable_.empty()) unreadable_.erase(at);
    for (FolderItem& item : *items) {
      std::string path = JoinPath(at, item.name);
      if (item.info.kind == FileKind::kFolder && DepthOf(path) < kDepthMax && path.size() < kPathBytesMax) {
        if (!item.name.starts_with(".")) folders.push_back(std::move(path));
      } else {
        LookAt(std::move(path), item.info, false, now, findings);
      }
    }
  }
}

void Scanner::Unreadable(const std::string& folder, std::string_view reason, Findings& findings) {
  not_seen_.insert(folder);
  if (unreadable_.insert(folder).second) findings.unreadable.push_back({folder, std::string(reason)});
}

void Scanner::LookAt(std::string path, const FileInfo& info, bool closed, MonotonicTime now,
                     Findings& findings) {
  auto [it, is_new] = known_.try_emplace(std::move(path));
  Known& known = it->second;
  const bool same = !is_new && known.kind == info.kind && known.size == info.size &&
                    known.mtime_ns == info.mtime_ns && known.inode == info.inode && known.links == info.links;
  if (!same) {
    const bool other =
        known.size != info.size || known.mtime_ns != info.mtime_ns || known.inode != info.inode;
    if (!is_new && known.state == State::kReported && other)
      findings.vanished.push_back(IdentityOf(it->first, known));
    // A second name that comes or goes does not make another arrival of a file that was told already.
    const bool told = !is_new && known.state == State::kReported && !other && info.links == 1;
    known = {.size = info.size,
             .mtime_ns = info.mtime_ns,
             .inode = info.inode,
             .since = now,
             .pass = pass_,
             .links = info.links,
             .kind = info.kind,
             .state = told ? State::kReported : State::kWaiting,
             .closed = false};
  }
  known.pass = pass_;
  known.closed |= closed;
  if (known.state == State::kWaiting) Judge(it->first, known, now, findings);
}

void Scanner::Judge(const std::string& path, Known& known, MonotonicTime now, Findings& findings) {
  std::string refused = WhyRefused(path, known.kind, known.links);
  const bool regular = known.kind == FileKind::kRegular;
  if (regular && IsUnfinishedName(NameOf(path)))
    return;  // also when it could be refused: it may yet be renamed
  // A second link is common while a file is delivered by link and unlink: it gets the time to go away.
  const bool settled = (known.closed && known.links == 1) || !regular || now - known.since >= settle_;
  if (!settled) {
    const MonotonicTime due = known.since + settle_;
    if (!deadline_ || due < *deadline_) deadline_ = due;
    return;
  }
  if (!refused.empty()) {
    known.state = State::kRefused;
    findings.refused.push_back({path, std::move(refused)});
    return;
  }
  if (findings.complete.size() >= kCompleteMax) {  // the rest at once, in the next look
    deadline_ = now;
    return;
  }
  if (fs_->OpenForWriting(Full(path))) {
    known.closed = false;  // somebody else has opened it since
    known.since = now;
    const MonotonicTime due = now + settle_;
    if (!deadline_ || due < *deadline_) deadline_ = due;
    return;
  }
  known.state = State::kReported;
  findings.complete.push_back(IdentityOf(path, known));
}

void Scanner::TellVanished(Findings& findings) {
  for (auto it = known_.begin(); it != known_.end();) {
    const auto& [path, known] = *it;
    bool keep = known.pass == pass_;
    for (auto folder = not_seen_.begin(); !keep && folder != not_seen_.end(); ++folder)
      keep = IsBelow(path, *folder);
    if (!keep) {
      // A listing may miss a name while others are renamed beside it: ask for this one.
      const absl::StatusOr<FileInfo> info = fs_->Stat(Full(path));
      keep = info.ok()
                 ? info->inode == known.inode && info->size == known.size && info->mtime_ns == known.mtime_ns
                 : !absl::IsNotFound(info.status());
    }
    if (keep) {
      ++it;
      continue;
    }
    if (known.state == State::kReported) findings.vanished.push_back(IdentityOf(path, known));
    it = known_.erase(it);
  }
}

Findings Scanner::Hint(std::string_view path, bool complete, MonotonicTime now) {
  Findings findings;
  if (!CheckPath(path).ok()) return findings;
  for (std::string_view folder = path; !folder.empty(); folder = ParentOf(folder)) {
    const bool itself = folder.size() == path.size();
    if (!itself && NameOf(folder).starts_with(".")) return findings;  // as Walk does
  }
  const absl::StatusOr<FileInfo> info = fs_->Stat(Full(path));
  const auto known = known_.find(path);
  if (absl::IsNotFound(info.status())) {
    if (known != known_.end()) {
      if (known->second.state == State::kReported)
        findings.vanished.push_back(IdentityOf(known->first, known->second));
      known_.erase(known);
    }
    return findings;  // a folder that went away is left to the next full look
  }
  if (!info.ok()) return findings;
  if (info->kind == FileKind::kFolder) {
    if (DepthOf(path) < kDepthMax && !NameOf(path).starts_with(".")) Walk(std::string(path), now, findings);
  } else {
    LookAt(std::string(path), *info, complete, now, findings);
  }
  Order(findings);
  return findings;
}

std::optional<MonotonicTime> Scanner::NextDeadline() const { return deadline_; }

void Scanner::Taken(std::string_view path) {
  if (const auto it = known_.find(path); it != known_.end()) known_.erase(it);
}

void Scanner::Forget(std::string_view path) {
  const auto it = known_.find(path);
  if (it == known_.end()) return;
  it->second.state = State::kWaiting;  // it has settled already: the next look tells it
}

}  // namespace laneway::zone
