#include "fleet/ids.h"

#include <array>

namespace laneway {
namespace {

__extension__ using Uint128 = unsigned __int128;

constexpr char kAlphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

int Digit(char c) {
  if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  if (c == 'I' || c == 'L') return 1;
  if (c == 'O') return 0;
  for (int i = 0; i < 32; i++) {
    if (kAlphabet[i] == c) return i;
  }
  return -1;
}

std::optional<uint32_t> ParseNumber(std::string_view text) {
  if (text.empty() || text.size() > 9 || text[0] == '0') return std::nullopt;
  uint32_t n = 0;
  for (char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    n = n * 10 + static_cast<uint32_t>(c - '0');
  }
  return n;
}

std::optional<TaskId> ParseTask(std::string_view text, char separator) {
  if (text.size() < 28 || text[26] != separator) return std::nullopt;
  auto job = JobId::Parse(text.substr(0, 26));
  auto n = ParseNumber(text.substr(27));
  if (!job || !n) return std::nullopt;
  return TaskId{*job, *n};
}

}  // namespace

template <class Tag>
std::optional<Id128<Tag>> Id128<Tag>::FromBytes(std::string_view bytes) {
  if (bytes.size() != 16) return std::nullopt;
  Id128 id;
  for (size_t i = 0; i < 8; i++) id.hi = id.hi << 8 | static_cast<uint8_t>(bytes[i]);
  for (size_t i = 8; i < 16; i++) id.lo = id.lo << 8 | static_cast<uint8_t>(bytes[i]);
  return id;
}

template <class Tag>
std::string Id128<Tag>::ToBytes() const {
  std::string out(16, '\0');
  for (size_t i = 0; i < 8; i++) out[i] = static_cast<char>(hi >> (56 - 8 * i));
  for (size_t i = 0; i < 8; i++) out[8 + i] = static_cast<char>(lo >> (56 - 8 * i));
  return out;
}

template <class Tag>
std::string Id128<Tag>::ToString() const {
  std::string out(26, '0');
  Uint128 value = static_cast<Uint128>(hi) << 64 | lo;
  for (size_t i = 26; i-- > 0; value >>= 5) out[i] = kAlphabet[static_cast<unsigned>(value & 31)];
  return out;
}

template <class Tag>
std::optional<Id128<Tag>> Id128<Tag>::Parse(std::string_view text) {
  if (text.size() != 26 || Digit(text[0]) > 7) return std::nullopt;
  Uint128 value = 0;
  for (char c : text) {
    const int digit = Digit(c);
    if (digit < 0) return std::nullopt;
    value = value << 5 | static_cast<unsigned>(digit);
  }
  return Id128{static_cast<uint64_t>(value >> 64), static_cast<uint64_t>(value)};
}

template struct Id128<JobTag>;
template struct Id128<StoreTag>;
template struct Id128<IncarnationTag>;

std::optional<TaskId> TaskId::Parse(std::string_view text) { return ParseTask(text, '/'); }
std::optional<TaskId> TaskId::ParseFileName(std::string_view text) { return ParseTask(text, '-'); }
std::string TaskId::ToString() const { return job.ToString() + "/" + std::to_string(n); }
std::string TaskId::ToFileName() const { return job.ToString() + "-" + std::to_string(n); }

bool IsWorkerName(std::string_view text) {
  if (text.empty() || text.size() > 64) return false;
  for (size_t i = 0; i < text.size(); i++) {
    const char c = text[i];
    const bool letter_or_digit = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (!letter_or_digit && (i == 0 || (c != '.' && c != '_' && c != '-'))) return false;
  }
  return true;
}

uint64_t HashBytes(std::string_view bytes) {
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (char c : bytes) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3ULL;
  return Mix64(hash);
}

}  // namespace laneway
