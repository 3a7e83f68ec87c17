// The promises of fs.h, over every implementation.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <memory>
#include <set>

#include "support/memory_fs.h"
#include "support/temp_folder.h"
#include "zone/posix_fs.h"

namespace laneway::zone {
namespace {

using ::laneway::testing::MemoryFs;
using ::laneway::testing::TempFolder;
using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

// An implementation, and what its users do around it.
class World {
 public:
  virtual ~World() = default;
  virtual Fs& fs() = 0;
  virtual void Write(const std::string& path, const std::string& bytes) = 0;
  virtual std::string Read(const std::string& path) = 0;
  virtual void Make(const std::string& path, FileKind kind) = 0;
  virtual void Link(const std::string& from, const std::string& to) = 0;
};

class OnDisk : public World {
 public:
  explicit OnDisk(const PosixFs::Options& options) : fs_(PosixFs::Open(folder_.path(), options).value()) {}
  Fs& fs() override { return *fs_; }
  void Write(const std::string& path, const std::string& bytes) override { folder_.Write(path, bytes); }
  std::string Read(const std::string& path) override { return folder_.Read(path); }
  void Make(const std::string& path, FileKind kind) override {
    const std::string full = folder_ / path;
    if (kind == FileKind::kFolder) std::filesystem::create_directories(full);
    if (kind == FileKind::kSymlink) std::filesystem::create_symlink("/etc", full);
    if (kind == FileKind::kOther) {
      EXPECT_EQ(mkfifo(full.c_str(), 0600), 0);
    }
  }
  void Link(const std::string& from, const std::string& to) override {
    std::filesystem::create_hard_link(folder_ / from, folder_ / to);
  }

 private:
  TempFolder folder_;
  std::unique_ptr<PosixFs> fs_;
};

class InMemory : public World {
 public:
  Fs& fs() override { return fs_; }
  void Write(const std::string& path, const std::string& bytes) override { fs_.Write(path, bytes); }
  std::string Read(const std::string& path) override { return fs_.Read(path); }
  void Make(const std::string& path, FileKind kind) override { fs_.Make(path, kind); }
  void Link(const std::string& from, const std::string& to) override { fs_.Link(from, to); }

 private:
  MemoryFs fs_;
};

struct Maker {
  std::string name;
  std::function<std::unique_ptr<World>()> make;
};

class FsContract : public ::testing::TestWithParam<Maker> {
 protected:
  FsContract() : world_(GetParam().make()), fs_(world_->fs()) {}
  std::unique_ptr<World> world_;
  Fs& fs_;
};

TEST_P(FsContract, StatTellsKindSizeAndIdentity) {
  world_->Write("a", "12345");
  world_->Make("folder", FileKind::kFolder);
  world_->Make("link", FileKind::kSymlink);
  world_->Make("fifo", FileKind::kOther);
  const FileInfo a = fs_.Stat("a").value();
  EXPECT_EQ(a.kind, FileKind::kRegular);
  EXPECT_EQ(a.size, 5U);
  EXPECT_EQ(a.links, 1U);
  EXPECT_NE(a.mtime_ns, 0);
  EXPECT_NE(a.inode, 0U);
  EXPECT_EQ(fs_.Stat("folder")->kind, FileKind::kFolder);
  EXPECT_EQ(fs_.Stat("link")->kind, FileKind::kSymlink);
  EXPECT_EQ(fs_.Stat("fifo")->kind, FileKind::kOther);
  EXPECT_TRUE(absl::IsNotFound(fs_.Stat("missing").status()));
  EXPECT_TRUE(absl::IsNotFound(fs_.Stat("missing/x").status()));
  EXPECT_TRUE(absl::IsNotFound(fs_.Stat("a/x").status()));
  world_->Link("a", "b");
  EXPECT_EQ(fs_.Stat("a")->links, 2U);
  EXPECT_EQ(fs_.Stat("b")->inode, a.inode);
}

TEST_P(FsContract, ListsNamesAsBytes) {
  world_->Make("folder", FileKind::kFolder);
  EXPECT_THAT(*fs_.List("folder"), ::testing::IsEmpty());
  const std::set<std::string> names = {"-rf", "a b", "new\nline", "\xff\xfe",           "$(id)",
                                       "..x", "ü",   "~$x",       std::string(255, 'n')};
  for (const std::string& name : names) world_->Write("folder/" + name, name);
  std::set<std::string> listed;
  const std::vector<FolderEntry> entries = fs_.List("folder").value();
  for (const FolderEntry& entry : entries) listed.insert(entry.name);
  EXPECT_EQ(listed, names);
  std::set<std::string> with_info;
  const std::vector<FolderItem> items = fs_.ListWithInfo("folder").value();
  for (const FolderItem& item : items) {
    with_info.insert(item.name);
    EXPECT_EQ(item.info.kind, FileKind::kRegular);
    EXPECT_EQ(item.info.size, item.name.size());
    EXPECT_EQ(item.info.inode, fs_.Stat("folder/" + item.name)->inode);
  }
  EXPECT_EQ(with_info, names);
  EXPECT_TRUE(absl::IsNotFound(fs_.List("missing").status()));
}

TEST_P(FsContract, RenameMovesFilesAndFoldersAndKeepsTheirIdentity) {
  world_->Write("from/-a\n", "bytes");
  world_->Make("to", FileKind::kFolder);
  const FileInfo before = fs_.Stat("from/-a\n").value();
  ASSERT_TRUE(fs_.Rename("from/-a\n", "to/b").ok());
  const FileInfo after = fs_.Stat("to/b").value();
  EXPECT_EQ(after.inode, before.inode);
  EXPECT_EQ(after.mtime_ns, before.mtime_ns);
  EXPECT_EQ(after.links, 1U);
  EXPECT_EQ(world_->Read("to/b"), "bytes");
  EXPECT_TRUE(absl::IsNotFound(fs_.Stat("from/-a\n").status()));
  ASSERT_TRUE(fs_.Rename("to", "moved").ok());
  EXPECT_EQ(world_->Read("moved/b"), "bytes");
}

TEST_P(FsContract, RenameNeverReplaces) {
  world_->Write("a", "A");
  world_->Write("b", "B");
  world_->Write("empty/x", "x");
  ASSERT_TRUE(fs_.Rename("empty/x", "x").ok());
  world_->Write("full/y", "y");
  EXPECT_TRUE(absl::IsAlreadyExists(fs_.Rename("a", "b")));
  EXPECT_TRUE(absl::IsAlreadyExists(fs_.Rename("a", "empty")));
  EXPECT_TRUE(absl::IsAlreadyExists(fs_.Rename("full", "empty")));
  EXPECT_TRUE(absl::IsAlreadyExists(fs_.Rename("empty", "full")));
  EXPECT_TRUE(absl::IsAlreadyExists(fs_.Rename("full", "a")));
  EXPECT_EQ(world_->Read("a"), "A");
  EXPECT_EQ(world_->Read("b"), "B");
  EXPECT_EQ(world_->Read("full/y"), "y");
  EXPECT_TRUE(absl::IsNotFound(fs_.Rename("missing", "c")));
  EXPECT_TRUE(absl::IsNotFound(fs_.Rename("a", "missing/c")));
  EXPECT_TRUE(absl::IsInvalidArgument(fs_.Rename("full", "full/below")));
}

// Rule Z3 rests on this: paths are resolved when the rename happens, not before.
TEST_P(FsContract, ARenameIntoAFolderThatWasRenamedAwayFails) {
  world_->Write("processing/.claim-old/x", "x");
  world_->Write("incoming/y", "y");
  ASSERT_TRUE(fs_.Rename("processing/.claim-old", "processing/.claim-old.closed").ok());
  EXPECT_TRUE(absl::IsNotFound(fs_.Rename("incoming/y", "processing/.claim-old/y")));
  EXPECT_TRUE(absl::IsNotFound(fs_.Rename("processing/.claim-old/x", "incoming/x")));
  EXPECT_EQ(world_->Read("incoming/y"), "y");
}

TEST_P(FsContract, FoldersAreMadeOnceAndRemovedWhenEmpty) {
  EXPECT_TRUE(fs_.MakeFolder("a").ok());
  EXPECT_TRUE(absl::IsAlreadyExists(fs_.MakeFolder("a")));
  EXPECT_TRUE(absl::IsNotFound(fs_.MakeFolder("x/y")));
  EXPECT_TRUE(fs_.MakeFolder("a/b").ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(fs_.RemoveFolder("a")));
  EXPECT_TRUE(fs_.RemoveFolder("a/b").ok());
  EXPECT_TRUE(fs_.RemoveFolder("a").ok());
  EXPECT_TRUE(absl::IsNotFound(fs_.RemoveFolder("a")));
  world_->Write("file", "kept");
  EXPECT_TRUE(absl::IsNotFound(fs_.RemoveFolder("file")));
  EXPECT_EQ(world_->Read("file"), "kept");

  std::vector<std::string> many;
  for (int i = 0; i < 100; i++) {
    many.push_back("f" + std::to_string(i));
    ASSERT_TRUE(fs_.MakeFolder(many.back()).ok());
  }
  world_->Write("f7/x", "x");
  many.push_back("missing");
  const std::vector<absl::Status> removed = fs_.RemoveFolders(many);
  ASSERT_EQ(removed.size(), 101U);
  EXPECT_TRUE(absl::IsFailedPrecondition(removed[7]));
  EXPECT_TRUE(absl::IsNotFound(removed[100]));
  EXPECT_EQ(std::count_if(removed.begin(), removed.end(), [](const auto& s) { return s.ok(); }), 99);
}

TEST_P(FsContract, RemoveTreeStaysInsideTheTree) {
  world_->Write("tree/a/b/c", "c");
  world_->Write("tree/d", "d");
  world_->Write("beside", "kept");
  world_->Make("tree/link", FileKind::kSymlink);
  world_->Make("tree/a/fifo", FileKind::kOther);
  EXPECT_TRUE(fs_.RemoveTree("tree").ok());
  EXPECT_TRUE(absl::IsNotFound(fs_.Stat("tree").status()));
  EXPECT_EQ(world_->Read("beside"), "kept");
  EXPECT_TRUE(absl::IsNotFound(fs_.RemoveTree("tree")));
}

TEST_P(FsContract, NothingLeavesTheRootNorFollowsASymlink) {
  world_->Make("link", FileKind::kSymlink);  // to /etc
  world_->Make("folder", FileKind::kFolder);
  for (const char* path :
       {"", "/", "/etc", "..", "../x", "a/../../x", "folder/..", "a//b", "a/", "./a", "link/passwd"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(fs_.Stat(path).status())) << path << " " << fs_.Stat(path).status();
    EXPECT_TRUE(absl::IsInvalidArgument(fs_.MakeFolder(path))) << path;
    EXPECT_TRUE(absl::IsInvalidArgument(fs_.RemoveTree(path))) << path;
    EXPECT_TRUE(absl::IsInvalidArgument(fs_.Rename("folder", path))) << path;
    EXPECT_TRUE(absl::IsInvalidArgument(fs_.Rename(path, "folder/x"))) << path;
  }
  EXPECT_FALSE(fs_.Stat(std::string("nul\0byte", 8)).ok());
  EXPECT_FALSE(fs_.Stat(std::string(256, 'x')).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(fs_.List("link").status())) << fs_.List("link").status();
  ASSERT_TRUE(fs_.Rename("link", "folder/link").ok());  // the link itself may be moved
  EXPECT_EQ(fs_.Stat("folder/link")->kind, FileKind::kSymlink);
}

TEST_P(FsContract, SyncTakesManyFoldersAndLeavesOutWhatIsGone) {
  std::vector<std::string> folders = {"", "missing", "missing/deeper"};
  for (int i = 0; i < 70; i++) {
    folders.push_back("f" + std::to_string(i));
    ASSERT_TRUE(fs_.MakeFolder(folders.back()).ok());
    folders.push_back(folders.back());
  }
  EXPECT_TRUE(fs_.SyncFolders(folders).ok());
  EXPECT_TRUE(fs_.SyncFolders({}).ok());
}

TEST_P(FsContract, NothingThatIsNotAFileIsOpenForWriting) {
  world_->Write("file", "x");
  world_->Make("fifo", FileKind::kOther);
  world_->Make("link", FileKind::kSymlink);
  EXPECT_FALSE(fs_.OpenForWriting("file"));
  EXPECT_FALSE(fs_.OpenForWriting("fifo"));  // and does not block
  EXPECT_FALSE(fs_.OpenForWriting("link"));
  EXPECT_FALSE(fs_.OpenForWriting("missing"));
  EXPECT_FALSE(fs_.OpenForWriting("../x"));
}

TEST_P(FsContract, FreeSpaceIsTold) { EXPECT_GT(fs_.FreeBytes().value(), 0U); }

INSTANTIATE_TEST_SUITE_P(
    All, FsContract,
    ::testing::Values(
        Maker{"Posix", [] { return std::make_unique<OnDisk>(PosixFs::Options{}); }},
        Maker{"PosixWithoutOpenat2",
              [] { return std::make_unique<OnDisk>(PosixFs::Options{.use_openat2 = false}); }},
        Maker{"PosixWithoutNoReplace",
              [] { return std::make_unique<OnDisk>(PosixFs::Options{.use_rename_noreplace = false}); }},
        Maker{"Memory", [] { return std::make_unique<InMemory>(); }}),
    [](const auto& maker) { return maker.param.name; });

}  // namespace
}  // namespace laneway::zone
