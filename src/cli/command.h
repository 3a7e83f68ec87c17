// command.h: a tree of commands, their options and what they do. The one door to CLI11.
//
// Role:       each cmd_<name>.cc adds its branch; Parse walks the user's words through the tree and runs what
//             they name.
// Promises:   a mistake of the user's ends with 2, says what was meant, and nothing has run.
// Threads:    one.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace laneway::cli {

class Command {
 public:
  Command(std::string name, std::string about);
  ~Command();
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;

  // A command below this one; it lives as long as this one.
  Command& Add(const std::string& name, const std::string& about);

  // The variables must outlive Parse. `names` as "-o,--output"; the variable's value is the default.
  Command& Flag(const std::string& names, bool& value, const std::string& about);
  Command& Option(const std::string& names, std::string& value, const std::string& about);
  Command& Option(const std::string& names, uint32_t& value, const std::string& about);
  Command& Choice(const std::string& names, std::string& value, const std::vector<std::string>& choices,
                  const std::string& about);
  Command& Repeated(const std::string& names, std::vector<std::string>& values, const std::string& about);
  Command& Word(const std::string& name, std::string& value, const std::string& about);
  Command& Words(const std::string& name, std::vector<std::string>& values, const std::string& about,
                 bool required = true);
  // Everything after `name` belongs to it, whatever it looks like: `--exec bash -x run.sh {file}`.
  Command& Rest(const std::string& name, std::vector<std::string>& values, const std::string& about);
  // Whole command lines, shown first in --help.
  Command& Examples(const std::vector<std::string>& lines);
  Command& Run(std::function<int()> action);

  // Of the root: parses, runs, gives the exit code.
  int Parse(int argc, char** argv);

  struct OptionInfo {
    std::vector<std::string> names;  // "-o", "--output"
    std::string about;
    std::vector<std::string> choices;
    bool takes_value = false;
  };
  const std::string& name() const { return name_; }
  const std::string& about() const { return about_; }
  const std::vector<OptionInfo>& options() const { return options_; }
  const std::vector<std::unique_ptr<Command>>& commands() const { return commands_; }

 private:
  class Parser;  // CLI11's
  friend class Parser;

  void Note(const std::string& names, const std::string& about, bool takes_value,
            std::vector<std::string> choices = {});
  const Command* Find(std::string_view name) const;
  std::string Line() const;  // "laneway job ls"
  bool MistypedCommand(const std::vector<std::string>& words) const;
  void ReportUnknown(const std::vector<std::string>& remaining) const;
  Command* TakeRest(std::vector<std::string>& words);

  const std::string name_;
  const std::string about_;
  Command* parent_ = nullptr;
  std::unique_ptr<Parser> parser_;
  std::vector<OptionInfo> options_;
  std::vector<std::unique_ptr<Command>> commands_;
  std::function<int()> action_;
  std::string rest_name_;
  std::vector<std::string>* rest_ = nullptr;
};

// "laneway: <text>" on stderr, as a line of its own.
void Complain(const std::string& text);

}  // namespace laneway::cli
