#include "golden/samples.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <sstream>

#include "laneway/v1/config.pb.h"
#include "laneway/v1/event.pb.h"
#include "laneway/v1/lane.pb.h"
#include "laneway/v1/member.pb.h"
#include "laneway/v1/report.pb.h"
#include "laneway/v1/snapshot.pb.h"
#include "laneway/v1/store.pb.h"

namespace laneway::golden {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// "TaskAssigned" -> "task_assigned"
std::string SnakeCase(const std::string& name) {
  std::string text;
  for (const char c : name) {
    if (c >= 'A' && c <= 'Z') {
      if (!text.empty()) text += '_';
      text += static_cast<char>(c - 'A' + 'a');
    } else {
      text += c;
    }
  }
  return text;
}

std::vector<const Descriptor*> Roots() {
  return {
      v1::Event::descriptor(),         v1::LaneRecord::descriptor(),    v1::Heartbeat::descriptor(),
      v1::BrowserHealth::descriptor(), v1::ControlRecord::descriptor(), v1::DeadLetter::descriptor(),
      v1::Alert::descriptor(),         v1::JobState::descriptor(),      v1::PartitionSnapshot::descriptor(),
      v1::FinishedEntry::descriptor(), v1::FinishedList::descriptor(),  v1::WorkerNotes::descriptor(),
      v1::StoreIdentity::descriptor(), v1::LastWords::descriptor(),     v1::Config::descriptor()};
}

// Text as it occurs: ids have 16 bytes, paths are bytes and no text, names are names.
std::string TextFor(const FieldDescriptor& field, int n) {
  const std::string& name = field.name();
  if (name == "worker" || name == "to") return "DTF-0" + std::to_string(3 + n);
  if (field.type() == FieldDescriptor::TYPE_STRING) return name + " \xc3\xa4 " + std::to_string(n + 1);
  if (name == "job_id" || name == "store" || name == "incarnation" || name == "dispatcher") {
    std::string id(16, '\0');
    for (size_t i = 0; i < id.size(); ++i)
      id[i] = static_cast<char>(field.number() * 17 + n + static_cast<int>(i) * 31);
    return id;
  }
  return std::string("b\xffn ", 4) + name + std::string("\0\n", 2) + std::to_string(n + 1);
}

uint64_t NumberFor(const FieldDescriptor& field, int n) {
  return 300U + static_cast<uint64_t>(field.number()) * 1'000'003U + static_cast<uint64_t>(n);
}

void Fill(Message* message);

void FillOne(Message* message, const FieldDescriptor& field, int n) {
  const Reflection& reflection = *message->GetReflection();
  const uint64_t number = NumberFor(field, n);
  const bool repeated = field.is_repeated();
  const auto put = [&](auto set, auto add, auto value) {
    if (repeated) {
      (reflection.*add)(message, &field, value);
    } else {
      (reflection.*set)(message, &field, value);
    }
  };
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      put(&Reflection::SetInt32, &Reflection::AddInt32, -static_cast<int32_t>(number));
      break;
    case FieldDescriptor::CPPTYPE_INT64:
      put(&Reflection::SetInt64, &Reflection::AddInt64, static_cast<int64_t>(number << 20U));
      break;
    case FieldDescriptor::CPPTYPE_UINT32:
      put(&Reflection::SetUInt32, &Reflection::AddUInt32, static_cast<uint32_t>(number));
      break;
    case FieldDescriptor::CPPTYPE_UINT64:
      put(&Reflection::SetUInt64, &Reflection::AddUInt64, ~number);
      break;
    case FieldDescriptor::CPPTYPE_DOUBLE:
      put(&Reflection::SetDouble, &Reflection::AddDouble, static_cast<double>(number) / 8);
      break;
    case FieldDescriptor::CPPTYPE_FLOAT:
      put(&Reflection::SetFloat, &Reflection::AddFloat, 0.5F);
      break;
    case FieldDescriptor::CPPTYPE_BOOL:
      put(&Reflection::SetBool, &Reflection::AddBool, true);
      break;
    case FieldDescriptor::CPPTYPE_ENUM: {
      const EnumDescriptor& kinds = *field.enum_type();
      put(&Reflection::SetEnumValue, &Reflection::AddEnumValue,
          kinds.value(kinds.value_count() - 1)->number());
      break;
    }
    case FieldDescriptor::CPPTYPE_STRING:
      if (repeated) {
        reflection.AddString(message, &field, TextFor(field, n));
      } else {
        reflection.SetString(message, &field, TextFor(field, n));
      }
      break;
    case FieldDescriptor::CPPTYPE_MESSAGE:
      Fill(repeated ? reflection.AddMessage(message, &field) : reflection.MutableMessage(message, &field));
      break;
  }
}

// Members of a real oneof exclude each other: its last member is filled, unless one was chosen before.
bool IsOtherMember(const Message& message, const FieldDescriptor& field) {
  const auto* choice = field.real_containing_oneof();
  if (choice == nullptr) return false;
  if (message.GetReflection()->HasOneof(message, choice)) return true;
  return choice->field(choice->field_count() - 1) != &field;
}

void Fill(Message* message) {
  const Descriptor& type = *message->GetDescriptor();
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    if (IsOtherMember(*message, field)) continue;
    FillOne(message, field, 0);
    if (field.is_repeated() && !field.is_map()) FillOne(message, field, 1);
  }
}

void CollectAll(const Descriptor& type, std::set<std::string>* names) {
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    const bool known = !names->insert(field.full_name()).second;
    if (!known && field.message_type() != nullptr) CollectAll(*field.message_type(), names);
  }
}

void EnumLines(const EnumDescriptor& kinds, std::vector<std::string>* lines) {
  for (int i = 0; i < kinds.value_count(); ++i) {
    lines->push_back("enum " + kinds.full_name() + " " + std::to_string(kinds.value(i)->number()) + " " +
                     kinds.value(i)->name());
  }
}

void MessageLines(const Descriptor& type, std::vector<std::string>* lines) {
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    std::string line =
        "field " + type.full_name() + " " + std::to_string(field.number()) + " " + field.name() + " ";
    if (field.is_repeated()) line += "repeated ";
    if (field.has_optional_keyword()) line += "optional ";
    line += field.type_name();
    if (field.message_type() != nullptr) line += " " + field.message_type()->full_name();
    if (field.enum_type() != nullptr) line += " " + field.enum_type()->full_name();
    lines->push_back(line);
  }
  for (int i = 0; i < type.nested_type_count(); ++i) MessageLines(*type.nested_type(i), lines);
  for (int i = 0; i < type.enum_type_count(); ++i) EnumLines(*type.enum_type(i), lines);
}

}  // namespace

std::vector<Kind> Kinds() {
  std::vector<Kind> kinds;
  for (const Descriptor* root : Roots()) {
    const std::string name = SnakeCase(root->name());
    const auto* choice = root->FindOneofByName("what");
    if (choice == nullptr) {
      kinds.push_back({name, root, nullptr});
      continue;
    }
    for (int i = 0; i < choice->field_count(); ++i) {
      kinds.push_back({name + "." + choice->field(i)->name(), root, choice->field(i)});
    }
  }
  return kinds;
}

std::unique_ptr<Message> NewMessage(const Kind& kind) {
  auto* factory = google::protobuf::MessageFactory::generated_factory();
  return std::unique_ptr<Message>(factory->GetPrototype(kind.root)->New());
}

std::unique_ptr<Message> Sample(const Kind& kind) {
  std::unique_ptr<Message> message = NewMessage(kind);
  if (kind.what != nullptr) FillOne(message.get(), *kind.what, 0);
  Fill(message.get());
  return message;
}

std::string Bytes(const Message& message) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    message.SerializeToCodedStream(&coded);
  }
  return bytes;
}

void CollectFields(const Message& message, std::set<std::string>* names) {
  const Reflection& reflection = *message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    names->insert(field->full_name());
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) continue;
    if (!field->is_repeated()) {
      CollectFields(reflection.GetMessage(message, field), names);
      continue;
    }
    for (int i = 0; i < reflection.FieldSize(message, field); ++i) {
      CollectFields(reflection.GetRepeatedMessage(message, field, i), names);
    }
  }
}

std::set<std::string> FieldsOf(const Kind& kind) {
  std::set<std::string> names;
  for (int i = 0; i < kind.root->field_count(); ++i) {
    const FieldDescriptor& field = *kind.root->field(i);
    if (field.real_containing_oneof() != nullptr && &field != kind.what) continue;
    names.insert(field.full_name());
    if (field.message_type() == nullptr) continue;
    // A record that holds whole events (worker_notes) need not hold every kind of them: those are kinds of
    // their own.
    if (kind.what == nullptr && field.message_type() == v1::Event::descriptor()) continue;
    CollectAll(*field.message_type(), &names);
  }
  if (kind.root == v1::WorkerNotes::descriptor()) {
    std::set<std::string> sample;
    CollectFields(*Sample(kind), &sample);
    return sample;
  }
  return names;
}

std::vector<std::string> SchemaLines() {
  std::vector<std::string> lines;
  std::set<const FileDescriptor*> seen;
  for (const Descriptor* root : Roots()) {
    const FileDescriptor* file = root->file();
    if (!seen.insert(file).second) continue;
    for (int i = 0; i < file->message_type_count(); ++i) MessageLines(*file->message_type(i), &lines);
    for (int i = 0; i < file->enum_type_count(); ++i) EnumLines(*file->enum_type(i), &lines);
  }
  return lines;
}

std::vector<std::string> MessagesInNoKind() {
  std::set<std::string> fields;
  std::set<std::string> reached;
  for (const Descriptor* root : Roots()) {
    reached.insert(root->full_name());
    CollectAll(*root, &fields);
  }
  const auto* pool = google::protobuf::DescriptorPool::generated_pool();
  for (const std::string& field : fields) {
    const Descriptor* type = pool->FindFieldByName(field)->message_type();
    if (type != nullptr) reached.insert(type->full_name());
  }
  std::vector<std::string> missing;
  for (const Descriptor* root : Roots()) {
    for (int i = 0; i < root->file()->message_type_count(); ++i) {
      const std::string& name = root->file()->message_type(i)->full_name();
      if (reached.insert(name).second) missing.push_back(name);
    }
  }
  return missing;
}

std::vector<std::string> RecordedSamples(const std::string& folder, const Kind& kind) {
  std::vector<std::string> samples;
  for (int n = 1;; ++n) {
    std::string stem = folder + "/" + kind.name + "." + std::to_string(n);
    if (!std::filesystem::exists(stem + ".bin")) return samples;
    samples.push_back(std::move(stem));
  }
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace laneway::golden
