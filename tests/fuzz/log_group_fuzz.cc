// log_group_fuzz.cc: no bytes on the disk may hurt the reader of a group, and what passes the checks stays
// within them.
//
// The first byte chooses: even, the rest is the value of a group as it lies in the database; odd, the same
// with its checksum put right first, so that the decoder behind the checksum is reached.
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string>

#include "log/crc32c.h"
#include "log/group_codec.h"

namespace {

using laneway::log::GroupReader;

constexpr laneway::log::TopicPartition kPlace{laneway::log::Topic::kEvents, 3};

void Require(bool holds, const char* what) {
  if (holds) return;
  std::cerr << what << "\n";
  std::abort();
}

bool Within(std::string_view part, std::string_view whole) {
  return part.empty() ||
         (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

void PutChecksumRight(std::string& value) {
  if (value.size() < 5) return;
  const char place[13] = {1, 3, 0, 0, 0, 42, 0, 0, 0, 0, 0, 0, 0};
  const uint32_t crc = laneway::log::Crc32c(std::string_view(value).substr(5),
                                            laneway::log::Crc32c(std::string_view(place, sizeof(place))));
  for (size_t i = 0; i < 4; i++) value[1 + i] = static_cast<char>(crc >> (8 * i));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  std::string value(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 2 == 1) PutChecksumRight(value);
  auto reader = GroupReader::Open(kPlace, 42, value, GroupReader::Check::kChecksum);
  if (!reader.ok()) {
    Require(absl::IsDataLoss(reader.status()), "a refused group is a data loss");
    return 0;
  }
  uint64_t read = 0;
  laneway::log::RecordView record;
  while (reader->Next(record)) {
    Require(record.offset == 42 + read++, "offsets are dense");
    Require(Within(record.key, value) && Within(record.value, value) && Within(record.writer, value),
            "views stay inside");
  }
  if (reader->status().ok()) Require(read == reader->count(), "a whole group has as many records as it says");
  return 0;
}
