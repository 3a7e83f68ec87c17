// memory_fs.h: a file system in memory, for tests and the simulator.
//
// Role:       implementation of zone::Fs, and the world around it: users who write, move and remove files,
//             other actors between any two calls, faults, lost replies, a full disk, and power loss.
//             Durability: what users do is durable at once. What the zone does is durable when one of the
//             folders it touched is synced, with all it depends on (the same file or name, the folders on its
//             path; of a folder that was removed, what left it before), and nothing else: harsher than a
//             journal, which keeps everything earlier as well.
//             PowerLoss() undoes the rest. A rename is one thing: it is kept or undone as a whole. Clock:
//             each write gets a new mtime; `clock_ns` may be set.
// Threads:    one.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "zone/fs.h"
#include "zone/path.h"

namespace laneway::testing {

class MemoryFs : public zone::Fs {
 public:
  enum class Op {
    kStat,
    kList,
    kMakeFolder,
    kRemoveFolder,
    kRemoveTree,
    kRename,
    kSync,
    kOpenForWriting,
    kFreeBytes
  };
  struct Call {
    Op op = Op::kStat;
    std::string path{};
    std::string to{};
  };

  // Called before each call of the zone (not for what the world does): may act, and may answer in its stead.
  std::function<absl::Status(const Call&)> before_call{};
  // Called after each: may replace the answer (a network share that did it and lost the reply).
  std::function<absl::Status(const Call&, absl::Status)> after_call{};
  int64_t clock_ns = 1'700'000'000'000'000'000;
  bool full = false;  // nothing can be made, nothing moved to another folder
  uint64_t free_bytes = uint64_t{1} << 40;
  uint64_t syncs = 0;  // folders synced so far

  MemoryFs() { nodes_[kRoot].kind = zone::FileKind::kFolder; }

  // ---- the world

  // Makes the file and its folders, or writes it anew (same inode, new mtime).
  void Write(std::string_view path, std::string_view bytes) {
    const uint64_t folder = WorldFolder(zone::ParentOf(path));
    const std::string name(zone::NameOf(path));
    uint64_t inode = Child(folder, name);
    if (inode == 0) inode = WorldMake(folder, name, zone::FileKind::kRegular);
    nodes_[inode].bytes = bytes;
    nodes_[inode].mtime_ns = clock_ns += 1'000'000;
  }
  void Make(std::string_view path, zone::FileKind kind) {  // folders, symlinks, FIFOs
    WorldMake(WorldFolder(zone::ParentOf(path)), std::string(zone::NameOf(path)), kind);
  }
  void Link(std::string_view from, std::string_view to) {
    const uint64_t inode = Find(from);
    nodes_[inode].links++;
    Record({inode, 0, "", WorldFolder(zone::ParentOf(to)), std::string(zone::NameOf(to))}, true);
  }
  bool Remove(std::string_view path) {
    const uint64_t inode = Find(path);
    if (inode == 0) return false;
    nodes_[inode].links--;
    Record({inode, Find(zone::ParentOf(path)), std::string(zone::NameOf(path)), 0, ""}, true);
    return true;
  }
  // As mv does: replaces.
  bool Move(std::string_view from, std::string_view to) {
    const uint64_t inode = Find(from);
    if (inode == 0) return false;
    Remove(to);
    const uint64_t folder = WorldFolder(zone::ParentOf(to));
    Record({inode, Find(zone::ParentOf(from)), std::string(zone::NameOf(from)), folder,
            std::string(zone::NameOf(to))},
           true);
    return true;
  }
  bool Has(std::string_view path) const { return Find(path) != 0; }
  std::string Read(std::string_view path) const {
    const auto node = nodes_.find(Find(path));
    return node == nodes_.end() ? std::string() : node->second.bytes;
  }
  void SetOpenForWriting(std::string_view path, bool open) { nodes_[Find(path)].open_for_writing = open; }
  void SetUnreadable(std::string_view path, bool unreadable) { nodes_[Find(path)].unreadable = unreadable; }

  // Every regular file, path → bytes.
  std::map<std::string, std::string> Files() const {
    std::map<std::string, std::string> files;
    Collect(kRoot, "", files);
    return files;
  }
  // Every path at which this file can be found.
  std::vector<std::string> PathsOf(uint64_t inode) const {
    std::vector<std::string> paths;
    CollectPaths(kRoot, "", inode, paths);
    return paths;
  }

  // What was not synced is undone, in reverse order; `keep` says of each whether the disk happened to have it
  // already.
  void PowerLoss(const std::function<bool()>& keep = {}) {
    if (keep) {
      std::set<size_t> kept;
      for (size_t i = 0; i < pending_.size(); i++) {
        if (keep()) kept.insert(i);
      }
      Commit(kept);
    }
    while (!pending_.empty()) {
      const Change undo = pending_.back();
      pending_.pop_back();
      if (undo.to_folder != 0) nodes_[undo.to_folder].children.erase(undo.to);
      if (undo.from_folder != 0) nodes_[undo.from_folder].children[undo.from] = undo.inode;
    }
  }
  size_t unsynced() const { return pending_.size(); }

  // ---- the zone

  absl::StatusOr<zone::FileInfo> Stat(std::string_view path) override {
    if (absl::Status status = Before({Op::kStat, std::string(path)}); !status.ok()) return status;
    absl::StatusOr<uint64_t> inode = Resolve(path);
    return inode.ok() ? absl::StatusOr<zone::FileInfo>(InfoOf(*inode)) : inode.status();
  }
  absl::StatusOr<std::vector<zone::FolderEntry>> List(std::string_view folder) override {
    absl::StatusOr<std::vector<zone::FolderItem>> items = ListWithInfo(folder);
    if (!items.ok()) return items.status();
    std::vector<zone::FolderEntry> entries;
    for (zone::FolderItem& item : *items) entries.push_back({std::move(item.name), item.info.kind});
    return entries;
  }
  absl::StatusOr<std::vector<zone::FolderItem>> ListWithInfo(std::string_view folder) override {
    if (absl::Status status = Before({Op::kList, std::string(folder)}); !status.ok()) return status;
    absl::StatusOr<uint64_t> inode = ResolveFolder(folder);
    if (!inode.ok()) return inode.status();
    if (nodes_[*inode].unreadable) return absl::PermissionDeniedError("no rights to list it");
    std::vector<zone::FolderItem> items;
    for (const auto& [name, child] : nodes_[*inode].children) items.push_back({name, InfoOf(child)});
    return items;
  }
  absl::Status MakeFolder(std::string_view path) override {
    const Call call{Op::kMakeFolder, std::string(path)};
    if (absl::Status status = Before(call); !status.ok()) return status;
    return After(call, [&]() -> absl::Status {
      absl::StatusOr<uint64_t> folder = ResolveParent(path);
      if (!folder.ok()) return folder.status();
      const std::string name(zone::NameOf(path));
      if (Child(*folder, name) != 0) return absl::AlreadyExistsError("it is there");
      if (full) return absl::ResourceExhaustedError("no space");
      Record({NewNode(zone::FileKind::kFolder), 0, "", *folder, name}, false);
      return absl::OkStatus();
    }());
  }
  absl::Status RemoveFolder(std::string_view path) override {
    const Call call{Op::kRemoveFolder, std::string(path)};
    if (absl::Status status = Before(call); !status.ok()) return status;
    return After(call, [&]() -> absl::Status {
      absl::StatusOr<uint64_t> inode = ResolveFolder(path);
      if (!inode.ok()) return inode.status();
      if (!nodes_[*inode].children.empty()) return absl::FailedPreconditionError("not empty");
      Record({*inode, *ResolveParent(path), std::string(zone::NameOf(path)), 0, ""}, false);
      return absl::OkStatus();
    }());
  }
  absl::Status RemoveTree(std::string_view path) override {
    const Call call{Op::kRemoveTree, std::string(path)};
    if (absl::Status status = Before(call); !status.ok()) return status;
    return After(call, [&]() -> absl::Status {
      absl::StatusOr<uint64_t> inode = ResolveFolder(path);
      if (!inode.ok()) return inode.status();
      RemoveChildren(*inode);
      Record({*inode, *ResolveParent(path), std::string(zone::NameOf(path)), 0, ""}, false);
      return absl::OkStatus();
    }());
  }
  absl::Status Rename(std::string_view from, std::string_view to) override {
    const Call call{Op::kRename, std::string(from), std::string(to)};
    if (absl::Status status = Before(call); !status.ok()) return status;
    return After(call, [&]() -> absl::Status {
      absl::StatusOr<uint64_t> inode = Resolve(from);
      if (!inode.ok()) return inode.status();
      absl::StatusOr<uint64_t> folder = ResolveParent(to);
      if (!folder.ok()) return folder.status();
      if (Child(*folder, std::string(zone::NameOf(to))) != 0)
        return absl::AlreadyExistsError("the target is there");
      if (zone::IsBelow(to, from)) return absl::InvalidArgumentError("into itself");
      const uint64_t source = *ResolveParent(from);
      if (full && source != *folder) return absl::ResourceExhaustedError("no space");
      Record({*inode, source, std::string(zone::NameOf(from)), *folder, std::string(zone::NameOf(to))},
             false);
      return absl::OkStatus();
    }());
  }
  absl::Status SyncFolders(std::span<const std::string> folders) override {
    for (const std::string& folder : folders) {
      const Call call{Op::kSync, folder};
      if (absl::Status status = Before(call); !status.ok()) return status;
      syncs++;
      absl::StatusOr<uint64_t> inode =
          folder.empty() ? absl::StatusOr<uint64_t>(kRoot) : ResolveFolder(folder);
      if (absl::IsNotFound(inode.status())) continue;
      if (!inode.ok()) return inode.status();
      std::set<size_t> synced;
      for (size_t i = 0; i < pending_.size(); i++) {
        if (pending_[i].from_folder == *inode || pending_[i].to_folder == *inode) synced.insert(i);
      }
      Commit(synced);
      if (absl::Status status = After(call, absl::OkStatus()); !status.ok()) return status;
    }
    return absl::OkStatus();
  }
  bool OpenForWriting(std::string_view path) override {
    if (!Before({Op::kOpenForWriting, std::string(path)}).ok()) return false;
    const auto node = nodes_.find(Find(path));
    return node != nodes_.end() && node->second.open_for_writing;
  }
  absl::StatusOr<uint64_t> FreeBytes() override {
    if (absl::Status status = Before({Op::kFreeBytes, ""}); !status.ok()) return status;
    return free_bytes;
  }

 private:
  static constexpr uint64_t kRoot = 1;
  struct Node {
    zone::FileKind kind = zone::FileKind::kRegular;
    std::string bytes{};
    int64_t mtime_ns = 0;
    uint32_t links = 1;
    bool open_for_writing = false;
    bool unreadable = false;
    std::map<std::string, uint64_t> children{};
  };
  // An entry that appears (to), goes (from), or moves (both). Folder 0: none.
  struct Change {
    uint64_t inode = 0;
    uint64_t from_folder = 0;
    std::string from{};
    uint64_t to_folder = 0;
    std::string to{};
  };

  absl::Status Before(const Call& call) { return before_call ? before_call(call) : absl::OkStatus(); }
  absl::Status After(const Call& call, absl::Status status) {
    return after_call ? after_call(call, std::move(status)) : status;
  }

  uint64_t NewNode(zone::FileKind kind) {
    const uint64_t inode = next_inode_++;
    nodes_[inode].kind = kind;
    nodes_[inode].mtime_ns = clock_ns;
    return inode;
  }
  uint64_t Child(uint64_t folder, const std::string& name) const {
    const auto node = nodes_.find(folder);
    if (node == nodes_.end()) return 0;
    const auto child = node->second.children.find(name);
    return child == node->second.children.end() ? 0 : child->second;
  }
  // Follows nothing. INVALID_ARGUMENT when a part of the way is a symlink.
  absl::StatusOr<uint64_t> Resolve(std::string_view path) const {
    if (absl::Status status = zone::CheckPath(path); !status.ok()) return status;
    uint64_t at = kRoot;
    for (size_t begin = 0; begin <= path.size();) {
      const size_t end = std::min(path.find('/', begin), path.size());
      const Node& node = nodes_.at(at);
      if (node.kind == zone::FileKind::kSymlink) return absl::InvalidArgumentError("a symlink on the way");
      at = node.kind == zone::FileKind::kFolder ? Child(at, std::string(path.substr(begin, end - begin))) : 0;
      if (at == 0) return absl::NotFoundError(zone::Concat({zone::Printable(path), " is not there"}));
      begin = end + 1;
    }
    return at;
  }
  absl::StatusOr<uint64_t> ResolveFolder(std::string_view path) const {
    absl::StatusOr<uint64_t> inode = Resolve(path);
    if (!inode.ok()) return inode;
    const zone::FileKind kind = nodes_.at(*inode).kind;
    if (kind == zone::FileKind::kSymlink) return absl::InvalidArgumentError("a symlink");
    if (kind != zone::FileKind::kFolder) return absl::NotFoundError("not a folder");
    return inode;
  }
  absl::StatusOr<uint64_t> ResolveParent(std::string_view path) const {
    if (absl::Status status = zone::CheckPath(path); !status.ok()) return status;
    const std::string_view parent = zone::ParentOf(path);
    return parent.empty() ? absl::StatusOr<uint64_t>(kRoot) : ResolveFolder(parent);
  }
  uint64_t Find(std::string_view path) const {
    if (path.empty()) return kRoot;
    absl::StatusOr<uint64_t> inode = Resolve(path);
    return inode.ok() ? *inode : 0;
  }
  zone::FileInfo InfoOf(uint64_t inode) const {
    const Node& node = nodes_.at(inode);
    return {.kind = node.kind,
            .size = node.bytes.size(),
            .mtime_ns = node.mtime_ns,
            .inode = inode,
            .links = node.links};
  }

  uint64_t WorldFolder(std::string_view path) {
    if (path.empty()) return kRoot;
    if (const uint64_t inode = Find(path); inode != 0) return inode;
    return WorldMake(WorldFolder(zone::ParentOf(path)), std::string(zone::NameOf(path)),
                     zone::FileKind::kFolder);
  }
  uint64_t WorldMake(uint64_t folder, const std::string& name, zone::FileKind kind) {
    const uint64_t inode = NewNode(kind);
    Record({inode, 0, "", folder, name}, true);
    return inode;
  }
  void RemoveChildren(uint64_t folder) {
    const std::map<std::string, uint64_t> children = nodes_[folder].children;
    for (const auto& [name, child] : children) {
      if (nodes_[child].kind == zone::FileKind::kFolder) RemoveChildren(child);
      Record({child, folder, name, 0, ""}, false);
    }
  }
  void Record(Change change, bool durable) {
    if (change.from_folder != 0) nodes_[change.from_folder].children.erase(change.from);
    if (change.to_folder != 0) nodes_[change.to_folder].children[change.to] = change.inode;
    pending_.push_back(std::move(change));
    if (durable) Commit({pending_.size() - 1});
  }
  // Makes these durable, with what they depend on.
  void Commit(const std::set<size_t>& chosen) {
    std::set<uint64_t> inodes, removed;
    std::set<std::pair<uint64_t, std::string>> names;
    std::vector<Change> rest;
    for (size_t i = pending_.size(); i-- > 0;) {
      Change& change = pending_[i];
      const bool needed =
          chosen.contains(i) || inodes.contains(change.inode) || removed.contains(change.from_folder) ||
          names.contains({change.from_folder, change.from}) || names.contains({change.to_folder, change.to});
      if (!needed) {
        rest.push_back(std::move(change));
        continue;
      }
      inodes.insert(change.inode);
      if (change.to_folder == 0) removed.insert(change.inode);
      if (change.from_folder != 0) names.insert({change.from_folder, change.from});
      if (change.to_folder != 0) {
        names.insert({change.to_folder, change.to});
        inodes.insert(change.to_folder);
      }
    }
    pending_.assign(std::make_move_iterator(rest.rbegin()), std::make_move_iterator(rest.rend()));
  }
  void Collect(uint64_t folder, const std::string& path, std::map<std::string, std::string>& files) const {
    for (const auto& [name, child] : nodes_.at(folder).children) {
      const Node& node = nodes_.at(child);
      const std::string at = zone::JoinPath(path, name);
      if (node.kind == zone::FileKind::kFolder) Collect(child, at, files);
      if (node.kind == zone::FileKind::kRegular) files[at] = node.bytes;
    }
  }
  void CollectPaths(uint64_t folder, const std::string& path, uint64_t wanted,
                    std::vector<std::string>& paths) const {
    for (const auto& [name, child] : nodes_.at(folder).children) {
      const std::string at = zone::JoinPath(path, name);
      if (child == wanted) paths.push_back(at);
      if (nodes_.at(child).kind == zone::FileKind::kFolder) CollectPaths(child, at, wanted, paths);
    }
  }

  std::map<uint64_t, Node> nodes_;
  uint64_t next_inode_ = 2;
  std::vector<Change> pending_;  // done, not durable, in order
};

}  // namespace laneway::testing
