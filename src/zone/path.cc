#include "zone/path.h"

#include <algorithm>

namespace laneway::zone {
namespace {

bool EndsWithInAnyCase(std::string_view name, std::string_view lower_case_end) {
  if (name.size() < lower_case_end.size()) return false;
  name.remove_prefix(name.size() - lower_case_end.size());
  return std::equal(name.begin(), name.end(), lower_case_end.begin(), [](char a, char b) {
    return (a >= 'A' && a <= 'Z' ? static_cast<char>(a - 'A' + 'a') : a) == b;
  });
}

}  // namespace

absl::Status CheckPath(std::string_view path) {
  const auto refuse = [&](std::string_view why) {
    return absl::InvalidArgumentError(Concat({"path \"", Printable(path.substr(0, 300)), "\" ", why}));
  };
  if (path.empty()) return refuse("is empty");
  if (path.size() > kSystemPathBytesMax) return refuse("is too long");
  if (path.find('\0') != std::string_view::npos) return refuse("holds a NUL byte");
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view part = path.substr(begin, end - begin);
    if (part.empty()) return refuse("is absolute or has an empty part");
    if (part == "." || part == "..") return refuse("has a part . or ..");
    if (part.size() > kSystemNameBytesMax) return refuse("has a part longer than 255 bytes");
    begin = end + 1;
  }
  return absl::OkStatus();
}

absl::Status CheckUserPath(std::string_view path) {
  if (absl::Status status = CheckPath(path); !status.ok()) return status;
  if (path.size() > kPathBytesMax) return absl::InvalidArgumentError("path longer than 3000 bytes");
  if (DepthOf(path) > kDepthMax) return absl::InvalidArgumentError("path deeper than 32");
  if (NameOf(path).size() > kNameBytesMax) return absl::InvalidArgumentError("name longer than 200 bytes");
  return absl::OkStatus();
}

std::string Concat(std::initializer_list<std::string_view> parts) {
  std::string out;
  size_t bytes = 0;
  for (std::string_view part : parts) bytes += part.size();
  out.reserve(bytes);
  for (std::string_view part : parts) out += part;
  return out;
}

std::string JoinPath(std::string_view folder, std::string_view name) {
  return folder.empty() ? std::string(name) : Concat({folder, "/", name});
}

std::string_view ParentOf(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
}

std::string_view NameOf(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

size_t DepthOf(std::string_view path) {
  return path.empty() ? 0 : 1 + static_cast<size_t>(std::count(path.begin(), path.end(), '/'));
}

bool IsBelow(std::string_view path, std::string_view folder) {
  return folder.empty() ||
         (path.size() > folder.size() && path[folder.size()] == '/' && path.starts_with(folder));
}

std::string WithMark(std::string_view path, std::string_view mark, size_t reserve) {
  const std::string_view name = NameOf(path);
  size_t dot = name.rfind('.');
  // A long "extension" is rather a part of the name: it could not be kept whole beside the mark.
  if (dot == std::string_view::npos || dot == 0 || name.size() - dot > 32) dot = name.size();
  const std::string_view extension = name.substr(dot);
  const size_t taken = std::min(mark.size() + extension.size() + reserve, kSystemNameBytesMax - 1);
  const std::string_view stem = name.substr(0, std::min(dot, kSystemNameBytesMax - taken));
  return JoinPath(ParentOf(path), Concat({stem, mark, extension}));
}

bool IsUnfinishedName(std::string_view name) {
  if (name.starts_with(".") || name.starts_with("~$")) return true;
  return EndsWithInAnyCase(name, ".tmp") || EndsWithInAnyCase(name, ".part") ||
         EndsWithInAnyCase(name, ".crdownload");
}

std::string ToAttemptName(const TaskId& task, uint32_t attempt) {
  return Concat({task.ToFileName(), ".", std::to_string(attempt)});
}

std::optional<AttemptName> ParseAttemptName(std::string_view name) {
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return std::nullopt;
  const std::string_view digits = name.substr(dot + 1);
  if (digits.empty() || digits.size() > 9 || digits[0] == '0') return std::nullopt;
  AttemptName parsed;
  for (char c : digits) {
    if (c < '0' || c > '9') return std::nullopt;
    parsed.attempt = parsed.attempt * 10 + static_cast<uint32_t>(c - '0');
  }
  const std::optional<TaskId> task = TaskId::ParseFileName(name.substr(0, dot));
  if (!task) return std::nullopt;
  parsed.task = *task;
  // Ids are read in either case; names that we did not write are not ours.
  if (ToAttemptName(parsed.task, parsed.attempt) != name) return std::nullopt;
  return parsed;
}

std::string Printable(std::string_view bytes) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  for (char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\\') {
      out += "\\\\";
    } else if (byte >= 0x20 && byte < 0x7f) {
      out += c;
    } else {
      out += "\\x";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  return out;
}

}  // namespace laneway::zone
