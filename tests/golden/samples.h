// samples.h: the kinds of records whose bytes are kept, and a sample of each with every field filled.
//
// Role:       shared by golden_test (compares) and golden_make (writes what is missing).
// Shapes:     a kind is a root message, or one member of its `what`: "event.task_assigned", "heartbeat". Its
//             samples are files <kind>.<n>.bin and, for people, <kind>.<n>.txtpb. n grows when a field is
//             added; what was written stays.
#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

namespace laneway::golden {

struct Kind {
  std::string name;
  const google::protobuf::Descriptor* root = nullptr;
  const google::protobuf::FieldDescriptor* what =
      nullptr;  // the member of the root's oneof; none: the root itself
};

// All kinds, in the order of their schemas.
std::vector<Kind> Kinds();

std::unique_ptr<google::protobuf::Message> NewMessage(const Kind& kind);

// A message of the kind with every field filled: numbers that need several bytes, two of what is repeated,
// bytes that are no text.
std::unique_ptr<google::protobuf::Message> Sample(const Kind& kind);

// The bytes, the same on every run.
std::string Bytes(const google::protobuf::Message& message);

// "laneway.v1.TaskAssigned.lane" of every field that has a value, at any depth.
void CollectFields(const google::protobuf::Message& message, std::set<std::string>* names);

// Every field a message of the kind can have, at any depth.
std::set<std::string> FieldsOf(const Kind& kind);

// One line for each field and enum value of all schemas: what may never change.
std::vector<std::string> SchemaLines();

// Messages of the schemas that no sample can hold: a root is missing in samples.cc.
std::vector<std::string> MessagesInNoKind();

// Files of a kind that exist in `folder`, without their extension, by n.
std::vector<std::string> RecordedSamples(const std::string& folder, const Kind& kind);

std::string ReadFile(const std::string& path);

}  // namespace laneway::golden
