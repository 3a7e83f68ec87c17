#include <functional>
#include <iostream>
#include <memory>

#include "cli/commands.h"
#include "cli/exit_codes.h"

namespace laneway::cli {
namespace {

// Each command line with what may follow it.
void Walk(const Command& command, const std::string& path,
          const std::function<void(const std::string&, const Command&)>& visit) {
  visit(path, command);
  for (const auto& below : command.commands())
    Walk(*below, path.empty() ? below->name() : path + " " + below->name(), visit);
}

std::string WordsAfter(const Command& command) {
  std::string words;
  for (const auto& below : command.commands()) words += below->name() + " ";
  for (const auto& option : command.options()) words += option.names.back() + " ";
  return words + "--help";
}

std::string Quoted(const std::string& text) {
  std::string out;
  for (char c : text) out += c == '\'' ? "'\\''" : std::string(1, c);
  return "'" + out + "'";
}

std::string Bash(const Command& root) {
  std::string out =
      "# laneway completion bash > /etc/bash_completion.d/laneway\n"
      "_laneway() {\n"
      "  local word path=\"\" current=\"${COMP_WORDS[COMP_CWORD]}\" "
      "previous=\"${COMP_WORDS[COMP_CWORD-1]}\"\n"
      "  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
      "    [[ $word == -* ]] && break\n"
      "    path=\"${path:+$path }$word\"\n"
      "  done\n"
      "  COMPREPLY=()\n";
  std::string choices;
  std::string cases;
  Walk(root, "", [&](const std::string& path, const Command& command) {
    for (const auto& option : command.options()) {
      if (option.choices.empty()) continue;
      std::string values;
      for (const auto& choice : option.choices) values += (values.empty() ? "" : " ") + choice;
      for (const auto& name : option.names)
        choices += "    " + Quoted(path + "|" + name) + ") COMPREPLY=($(compgen -W " + Quoted(values) +
                   " -- \"$current\")); return ;;\n";
    }
    cases += "    " + Quoted(path) + ") COMPREPLY=($(compgen -W " + Quoted(WordsAfter(command)) +
             " -- \"$current\")) ;;\n";
  });
  out += "  case \"$path|$previous\" in\n" + choices + "  esac\n  case \"$path\" in\n" + cases + "  esac\n";
  return out + "}\ncomplete -o default -F _laneway laneway\n";
}

std::string Zsh(const Command& root) {
  std::string out =
      "#compdef laneway\n# laneway completion zsh > \"${fpath[1]}/_laneway\"\n"
      "_laneway() {\n"
      "  local word line=\"\"\n"
      "  for word in ${words[2,CURRENT-1]}; do\n"
      "    [[ $word == -* ]] && break\n"
      "    line=\"${line:+$line }$word\"\n"
      "  done\n"
      "  case \"$line\" in\n";
  Walk(root, "", [&](const std::string& path, const Command& command) {
    out += "    " + Quoted(path) + ") compadd -- " + WordsAfter(command) + " ;;\n";
  });
  return out + "  esac\n  _files\n}\ncompdef _laneway laneway\n";
}

std::string Fish(const Command& root) {
  std::string out =
      "# laneway completion fish > ~/.config/fish/completions/laneway.fish\n"
      "function __laneway_line\n"
      "  set -l words (commandline -opc)\n"
      "  set -l line\n"
      "  for word in $words[2..-1]\n"
      "    string match -q -- '-*' $word; and break\n"
      "    set line $line $word\n"
      "  end\n"
      "  test (string join ' ' -- $line) = \"$argv[1]\"\n"
      "end\n";
  Walk(root, "", [&](const std::string& path, const Command& command) {
    const std::string when = "complete -c laneway -n \"__laneway_line '" + path + "'\"";
    for (const auto& below : command.commands())
      out += when + " -f -a " + below->name() + " -d " + Quoted(below->about()) + "\n";
    for (const auto& option : command.options()) {
      out += when;
      for (const auto& name : option.names)
        out += name.rfind("--", 0) == 0 ? " -l " + name.substr(2) : " -s " + name.substr(1);
      std::string values;
      for (const auto& choice : option.choices) values += (values.empty() ? "" : " ") + choice;
      if (!values.empty()) out += " -x -a " + Quoted(values);
      out += (option.takes_value && values.empty() ? " -r" : "") + std::string(" -d ") +
             Quoted(option.about) + "\n";
    }
  });
  return out;
}

}  // namespace

void AddCompletion(Command& root) {
  Command& completion = root.Add("completion", "Prints what a shell needs to complete commands and options");
  completion.Examples({"laneway completion bash > /etc/bash_completion.d/laneway"});
  const std::pair<const char*, std::string (*)(const Command&)> shells[] = {
      {"bash", Bash}, {"zsh", Zsh}, {"fish", Fish}};
  for (const auto& [name, make] : shells) {
    completion.Add(name, std::string("For ") + name).Run([&root, make = make] {
      std::cout << make(root);
      return static_cast<int>(kDone);
    });
  }
}

}  // namespace laneway::cli
