// golden_make.cc: writes the samples and schema lines that are missing. Never changes one that is there.
//
// golden_make tests/golden/v1
#include <google/protobuf/text_format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

#include "golden/samples.h"

namespace {

using laneway::golden::Kind;

bool Write(const std::string& path, const std::string& content) {
  if (std::filesystem::exists(path)) {
    std::cerr << path << " exists: what was recorded is not overwritten\n";
    return false;
  }
  std::ofstream file(path, std::ios::binary);
  file << content;
  std::cout << "made " << path << "\n";
  return static_cast<bool>(file.flush());
}

// False when something could not be written.
bool MakeSample(const std::string& folder, const Kind& kind) {
  const auto stems = laneway::golden::RecordedSamples(folder, kind);
  std::set<std::string> recorded;
  for (const std::string& stem : stems) {
    const auto message = laneway::golden::NewMessage(kind);
    if (!message->ParseFromString(laneway::golden::ReadFile(stem + ".bin"))) {
      std::cerr << stem << ".bin cannot be read any more: the schema has broken it\n";
      return false;
    }
    laneway::golden::CollectFields(*message, &recorded);
  }
  const auto wanted = laneway::golden::FieldsOf(kind);
  if (std::includes(recorded.begin(), recorded.end(), wanted.begin(), wanted.end())) return true;
  const auto sample = laneway::golden::Sample(kind);
  std::string text;
  google::protobuf::TextFormat::PrintToString(*sample, &text);
  const std::string stem = folder + "/" + kind.name + "." + std::to_string(stems.size() + 1);
  return Write(stem + ".txtpb", text) && Write(stem + ".bin", laneway::golden::Bytes(*sample));
}

bool GrowSchemaLines(const std::string& path) {
  std::vector<std::string> recorded;
  std::istringstream file(laneway::golden::ReadFile(path));
  for (std::string line; std::getline(file, line);) recorded.push_back(line);
  const std::vector<std::string> now = laneway::golden::SchemaLines();
  for (const std::string& line : recorded) {
    if (std::find(now.begin(), now.end(), line) != now.end()) continue;
    std::cerr << path << ": changed or removed: " << line << "\n";
    return false;
  }
  std::ofstream grown(path, std::ios::binary);
  for (const std::string& line : now) grown << line << "\n";
  return static_cast<bool>(grown.flush());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: golden_make FOLDER (tests/golden/v1)\n";
    return 2;
  }
  const std::string folder = argv[1];
  std::filesystem::create_directories(folder);
  for (const Kind& kind : laneway::golden::Kinds()) {
    if (!MakeSample(folder, kind)) return 1;
  }
  return GrowSchemaLines(folder + "/fields.txt") ? 0 : 1;
}
