// path.h: names and paths inside the zone, as bytes.
//
// Role:       pure helpers. Every path that came from outside (a record, a directory listing) passes
//             CheckPath before it reaches the file system.
// Shapes:     as fs.h: relative, "/"-separated, no ".", "..", empty parts, leading or trailing "/", no NUL.
//             Any other byte may occur: newlines, leading dashes, bytes that are not UTF-8.
// Threads:    functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "fleet/ids.h"

namespace laneway::zone {

inline constexpr size_t kSystemNameBytesMax = 255;   // of every file system we know
inline constexpr size_t kSystemPathBytesMax = 4000;  // PATH_MAX is 4096, and we put "completed/" in front
inline constexpr size_t kNameBytesMax = 200;   // of a user's file: "~<task>" and ".output" must fit behind it
inline constexpr size_t kDepthMax = 32;        // parts of a user's path
inline constexpr size_t kPathBytesMax = 3000;  // of a user's path

// INVALID_ARGUMENT for anything that is not a safe relative path.
absl::Status CheckPath(std::string_view path);
// CheckPath, and within the limits for users' files.
absl::Status CheckUserPath(std::string_view path);

std::string Concat(std::initializer_list<std::string_view> parts);
std::string JoinPath(std::string_view folder, std::string_view name);  // an empty folder is the root
std::string_view ParentOf(std::string_view path);                      // "" for one part
std::string_view NameOf(std::string_view path);
size_t DepthOf(std::string_view path);
bool IsBelow(std::string_view path, std::string_view folder);  // strictly

// Puts `mark` before the extension of the last part: ("a/b.csv", "~1") → "a/b~1.csv". The stem is cut where
// the name would be longer than kSystemNameBytesMax, less `reserve`.
std::string WithMark(std::string_view path, std::string_view mark, size_t reserve = 0);

// Names of downloads that are not finished: *.tmp, *.part, *.crdownload (in any case), ~$*, and dot files.
bool IsUnfinishedName(std::string_view name);

// "<job>-<n>.<attempt>": of files in a staging folder and of attempts' folders.
struct AttemptName {
  TaskId task;
  uint32_t attempt = 0;
};
std::string ToAttemptName(const TaskId& task, uint32_t attempt);
std::optional<AttemptName> ParseAttemptName(std::string_view name);  // only what ToAttemptName writes

// For messages: what is not printable ASCII is written \xNN, and a backslash doubled.
std::string Printable(std::string_view bytes);

}  // namespace laneway::zone
