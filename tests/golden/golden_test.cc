// golden_test.cc: what was once written stays readable, and is written the same way today.
#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/unknown_field_set.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <sstream>

#include "golden/samples.h"
#include "laneway/v1/event.pb.h"

namespace laneway::golden {
namespace {

using google::protobuf::Message;
using google::protobuf::TextFormat;
using google::protobuf::util::MessageDifferencer;

constexpr char kRemedy[] =
    "a schema has grown: run golden_make (tests/golden/README.md) and commit what it adds";

std::string Folder() { return LANEWAY_GOLDEN_FOLDER; }

TEST(GoldenTest, EveryRecordedSampleIsReadAsItWasMeantAndWrittenTheSame) {
  for (const Kind& kind : Kinds()) {
    for (const std::string& stem : RecordedSamples(Folder(), kind)) {
      SCOPED_TRACE(stem);
      const std::string bytes = ReadFile(stem + ".bin");
      const auto read = NewMessage(kind);
      ASSERT_TRUE(read->ParseFromString(bytes));
      const auto meant = NewMessage(kind);
      ASSERT_TRUE(TextFormat::ParseFromString(ReadFile(stem + ".txtpb"), meant.get()));
      std::string difference;
      MessageDifferencer differencer;
      differencer.ReportDifferencesToString(&difference);
      EXPECT_TRUE(differencer.Compare(*meant, *read)) << difference;
      EXPECT_EQ(Bytes(*read), bytes) << "written anew, the record has other bytes";
    }
  }
}

TEST(GoldenTest, EveryFieldOfEveryKindIsInASample) {
  for (const Kind& kind : Kinds()) {
    std::set<std::string> recorded;
    for (const std::string& stem : RecordedSamples(Folder(), kind)) {
      const auto message = NewMessage(kind);
      ASSERT_TRUE(message->ParseFromString(ReadFile(stem + ".bin"))) << stem;
      CollectFields(*message, &recorded);
    }
    for (const std::string& field : FieldsOf(kind)) {
      EXPECT_TRUE(recorded.contains(field)) << kind.name << " lacks " << field << ": " << kRemedy;
    }
  }
}

TEST(GoldenTest, EveryMessageOfTheSchemasIsPartOfAKind) {
  for (const std::string& name : MessagesInNoKind()) {
    ADD_FAILURE() << name << " is in no record: name it among the roots of samples.cc";
  }
}

TEST(GoldenTest, NoFileIsLeftWithoutItsKind) {
  std::set<std::string> known = {"fields.txt"};
  for (const Kind& kind : Kinds()) {
    for (const std::string& stem : RecordedSamples(Folder(), kind)) {
      for (const char* extension : {".bin", ".txtpb"}) {
        known.insert(std::filesystem::path(stem + extension).filename().string());
      }
    }
  }
  for (const auto& entry : std::filesystem::directory_iterator(Folder())) {
    EXPECT_TRUE(known.contains(entry.path().filename().string()))
        << entry.path()
        << " belongs to no kind: a kind was renamed or removed, or a sample's number is missing";
  }
}

TEST(GoldenTest, NoFieldNumberNameOrTypeHasChanged) {
  std::vector<std::string> recorded;
  std::istringstream file(ReadFile(Folder() + "/fields.txt"));
  for (std::string line; std::getline(file, line);) recorded.push_back(line);
  ASSERT_FALSE(recorded.empty());
  const std::vector<std::string> now = SchemaLines();
  for (const std::string& line : recorded) {
    EXPECT_TRUE(std::find(now.begin(), now.end(), line) != now.end()) << "changed or removed: " << line;
  }
  for (const std::string& line : now) {
    EXPECT_TRUE(std::find(recorded.begin(), recorded.end(), line) != recorded.end())
        << "not recorded: " << line << ": " << kRemedy;
  }
}

TEST(GoldenTest, AReaderKeepsWhatItDoesNotKnow) {
  v1::Event event;
  event.set_task(7);
  google::protobuf::UnknownFieldSet newer;
  newer.AddLengthDelimited(1999, "from a newer version");
  std::string addition;
  ASSERT_TRUE(newer.SerializeToString(&addition));
  const std::string bytes = event.SerializeAsString() + addition;
  v1::Event read;
  ASSERT_TRUE(read.ParseFromString(bytes));
  EXPECT_EQ(read.task(), 7U);
  EXPECT_EQ(read.SerializeAsString(), bytes);
}

}  // namespace
}  // namespace laneway::golden
