// temp_folder.h: a folder of a test's own on the real file system, gone when the test ends.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <string_view>

namespace laneway::testing {

class TempFolder {
 public:
  // In memory where that exists: for tests that make thousands of files and do not care where.
  enum class Where { kDisk, kMemory };

  explicit TempFolder(Where where = Where::kDisk) {
    const char* base = getenv("TMPDIR");
    if (base == nullptr) base = "/tmp";
    if (where == Where::kMemory && access("/dev/shm", W_OK) == 0) base = "/dev/shm";
    std::string name = std::string(base) + "/laneway-test-XXXXXX";
    if (mkdtemp(name.data()) == nullptr) ADD_FAILURE() << "cannot make a temporary folder";
    path_ = name;
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }

  // Makes the folders of the path too.
  void Write(std::string_view name, std::string_view bytes) const {
    const std::string file = *this / name;
    std::filesystem::create_directories(std::filesystem::path(file).parent_path());
    std::ofstream(file, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }
  std::string Read(std::string_view name) const {
    std::ifstream in(*this / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  }
  bool Has(std::string_view name) const {
    struct stat found = {};
    return lstat((*this / name).c_str(), &found) == 0;
  }
  // Every regular file below the folder, path → bytes.
  std::map<std::string, std::string> Files() const {
    std::map<std::string, std::string> files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path_)) {
      if (!entry.is_regular_file() || entry.is_symlink()) continue;
      const std::string name = entry.path().string().substr(path_.size() + 1);
      files[name] = Read(name);
    }
    return files;
  }

 private:
  std::string path_;
};

}  // namespace laneway::testing
