#include "cli/command.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <iostream>

#include "absl/strings/match.h"
#include "cli/exit_codes.h"
#include "ops/text.h"

namespace laneway::cli {

class Command::Parser {
 public:
  Parser() : own(std::make_unique<CLI::App>()), app(own.get()) {}
  explicit Parser(CLI::App* below) : app(below) {}
  std::unique_ptr<CLI::App> own;  // the root's
  CLI::App* app;
};

void Complain(const std::string& text) { std::cerr << "laneway: " << text << "\n"; }

Command::Command(std::string name, std::string about)
    : name_(std::move(name)), about_(std::move(about)), parser_(std::make_unique<Parser>()) {
  parser_->app->name(name_);
  parser_->app->description(about_);
  parser_->app->set_help_flag("-h,--help", "This text");
}
Command::~Command() = default;

Command& Command::Add(const std::string& name, const std::string& about) {
  auto command = std::make_unique<Command>(name, about);
  command->parent_ = this;
  CLI::App* app = parser_->app->add_subcommand(name, about);
  app->set_help_flag("-h,--help", "This text");
  app->fallthrough();
  command->parser_ = std::make_unique<Parser>(app);
  commands_.push_back(std::move(command));
  return *commands_.back();
}

void Command::Note(const std::string& names, const std::string& about, bool takes_value,
                   std::vector<std::string> choices) {
  OptionInfo info{{}, about, std::move(choices), takes_value};
  for (size_t begin = 0; begin <= names.size();) {
    const size_t comma = std::min(names.find(',', begin), names.size());
    info.names.push_back(names.substr(begin, comma - begin));
    begin = comma + 1;
  }
  options_.push_back(std::move(info));
}

Command& Command::Flag(const std::string& names, bool& value, const std::string& about) {
  parser_->app->add_flag(names, value, about);
  Note(names, about, false);
  return *this;
}

Command& Command::Option(const std::string& names, std::string& value, const std::string& about) {
  parser_->app->add_option(names, value, about)->capture_default_str();
  Note(names, about, true);
  return *this;
}

Command& Command::Option(const std::string& names, uint32_t& value, const std::string& about) {
  parser_->app->add_option(names, value, about)->capture_default_str();
  Note(names, about, true);
  return *this;
}

Command& Command::Choice(const std::string& names, std::string& value,
                         const std::vector<std::string>& choices, const std::string& about) {
  const auto check = [choices](const std::string& given) -> std::string {
    if (std::find(choices.begin(), choices.end(), given) != choices.end()) return "";
    std::string allowed;
    for (const std::string& choice : choices) allowed += (allowed.empty() ? "" : ", ") + choice;
    return "found " + ops::Printable(given, 100) + "; allowed: " + allowed + ops::DidYouMean(given, choices);
  };
  const auto as_written = [choices](std::string given) {
    for (const std::string& choice : choices) {
      if (absl::EqualsIgnoreCase(given, choice)) return choice;
    }
    return given;
  };
  parser_->app->add_option(names, value, about)->transform(as_written)->check(check)->capture_default_str();
  Note(names, about, true, choices);
  return *this;
}

Command& Command::Repeated(const std::string& names, std::vector<std::string>& values,
                           const std::string& about) {
  parser_->app->add_option(names, values, about)->expected(1)->take_all();
  Note(names, about, true);
  return *this;
}

Command& Command::Word(const std::string& name, std::string& value, const std::string& about) {
  parser_->app->add_option(name, value, about)->required();
  return *this;
}

Command& Command::Words(const std::string& name, std::vector<std::string>& values, const std::string& about,
                        bool required) {
  parser_->app->add_option(name, values, about)->required(required);
  return *this;
}

Command& Command::Rest(const std::string& name, std::vector<std::string>& values, const std::string& about) {
  rest_name_ = name;
  rest_ = &values;
  const std::string text = about + " (takes the rest of the line)";
  parser_->app->add_flag(name, text);
  Note(name, about, true);
  return *this;
}

Command& Command::Examples(const std::vector<std::string>& lines) {
  std::string text = parser_->app->get_description() + "\n\nExamples:\n";
  for (const std::string& line : lines) text += "  " + line + "\n";
  parser_->app->description(text);
  return *this;
}

Command& Command::Run(std::function<int()> action) {
  action_ = std::move(action);
  return *this;
}

const Command* Command::Find(std::string_view name) const {
  for (const auto& command : commands_) {
    if (command->name_ == name) return command.get();
  }
  return nullptr;
}

std::string Command::Line() const { return parent_ == nullptr ? name_ : parent_->Line() + " " + name_; }

// The first word at each level that has commands below it must be one of them.
bool Command::MistypedCommand(const std::vector<std::string>& words) const {
  const Command* at = this;
  for (const std::string& word : words) {
    if (at->commands_.empty()) return false;
    if (word.empty() || word[0] == '-') return false;  // an option: CLI11 judges it
    const Command* next = at->Find(word);
    if (next == nullptr) {
      std::vector<std::string> names;
      std::string known;
      for (const auto& command : at->commands_) {
        names.push_back(command->name_);
        known += (known.empty() ? "" : ", ") + command->name_;
      }
      Complain("unknown command: " + ops::Printable(word, 100) + ops::DidYouMean(word, names) + "\n  " +
               at->Line() + " knows: " + known);
      return true;
    }
    at = next;
  }
  if (at->commands_.empty()) return false;
  Complain(at->Line() + " needs a command; see " + at->Line() + " --help");
  return true;
}

void Command::ReportUnknown(const std::vector<std::string>& remaining) const {
  std::vector<std::string> names = {"--help"};
  const Command* leaf = this;
  for (const CLI::App* app = parser_->app; app != nullptr;) {
    const auto below = app->get_subcommands();
    app = below.empty() ? nullptr : below.front();
    if (app != nullptr && leaf->Find(app->get_name()) != nullptr) leaf = leaf->Find(app->get_name());
  }
  for (const Command* at = leaf; at != nullptr; at = at->parent_) {
    for (const OptionInfo& option : at->options_)
      names.insert(names.end(), option.names.begin(), option.names.end());
  }
  const std::string& word = remaining.empty() ? leaf->name_ : remaining.front();
  const bool option = !word.empty() && word[0] == '-';
  const std::string what = option ? word.substr(0, word.find('=')) : word;
  Complain((option ? "unknown option: " : "one word too many: ") + ops::Printable(what, 100) +
           (option ? ops::DidYouMean(what, names) : "") + "\n  see " + leaf->Line() + " --help");
}

Command* Command::TakeRest(std::vector<std::string>& words) {
  Command* at = this;
  for (const std::string& word : words) {
    const Command* next = at->Find(word);
    if (next == nullptr) break;
    at = const_cast<Command*>(next);
  }
  if (at->rest_ == nullptr) return nullptr;
  const auto begin = std::find(words.begin(), words.end(), at->rest_name_);
  if (begin == words.end()) return nullptr;
  at->rest_->assign(begin + 1, words.end());
  words.erase(begin, words.end());
  return at->rest_->empty() ? at : nullptr;
}

int Command::Parse(int argc, char** argv) {
  std::vector<std::string> words(argv + 1, argv + std::max(argc, 1));
  if (words.empty()) words.emplace_back("--help");
  if (MistypedCommand(words)) return kUsage;
  if (const Command* empty = TakeRest(words)) {
    Complain(empty->rest_name_ + " needs a program: " + empty->rest_name_ + " bash process.sh {file}");
    return kUsage;
  }
  std::reverse(words.begin(), words.end());  // as CLI11 wants them
  try {
    parser_->app->parse(words);
  } catch (const CLI::CallForHelp& help) {
    parser_->app->exit(help, std::cout, std::cerr);
    return kDone;
  } catch (const CLI::ExtrasError&) {
    ReportUnknown(parser_->app->remaining(true));
    return kUsage;
  } catch (const CLI::ParseError& error) {
    Complain(std::string(error.what()) + "\n  see --help");
    return kUsage;
  }
  const Command* at = this;
  for (const CLI::App* app = parser_->app; !app->get_subcommands().empty();) {
    app = app->get_subcommands().front();
    at = at->Find(app->get_name());
  }
  if (at->action_) return at->action_();
  Complain(at->Line() + " needs a command; see " + at->Line() + " --help");
  return kUsage;
}

}  // namespace laneway::cli
