// records_fuzz.cc: no bytes in a topic may hurt a reader, and what was read is written again as the same
// record.
//
// The first byte chooses the kind of record, the rest is the record.
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string>

#include "laneway/v1/event.pb.h"
#include "laneway/v1/lane.pb.h"
#include "laneway/v1/member.pb.h"
#include "laneway/v1/report.pb.h"
#include "laneway/v1/snapshot.pb.h"
#include "laneway/v1/store.pb.h"

namespace {

template <class Message>
void RoundTrip(const std::string& bytes) {
  Message first;
  if (!first.ParseFromString(bytes)) return;
  Message second;
  if (!second.ParseFromString(first.SerializeAsString()) ||
      second.SerializeAsString() != first.SerializeAsString()) {
    std::cerr << Message::descriptor()->full_name() << " is not the same after writing and reading it\n";
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace v1 = laneway::v1;
  if (size == 0) return 0;
  const std::string bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 9) {
    case 0:
      RoundTrip<v1::Event>(bytes);
      break;
    case 1:
      RoundTrip<v1::LaneRecord>(bytes);
      break;
    case 2:
      RoundTrip<v1::Heartbeat>(bytes);
      break;
    case 3:
      RoundTrip<v1::BrowserHealth>(bytes);
      break;
    case 4:
      RoundTrip<v1::ControlRecord>(bytes);
      break;
    case 5:
      RoundTrip<v1::DeadLetter>(bytes);
      break;
    case 6:
      RoundTrip<v1::Alert>(bytes);
      break;
    case 7:
      RoundTrip<v1::PartitionSnapshot>(bytes);
      break;
    case 8:
      RoundTrip<v1::WorkerNotes>(bytes);
      break;
    default:
      break;
  }
  return 0;
}
