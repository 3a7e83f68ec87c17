#include "cli/confirm.h"

#include <pwd.h>
#include <unistd.h>

#include <iostream>

#include "cli/exit_codes.h"
#include "ops/json_writer.h"
#include "ops/text.h"

namespace laneway::cli {

void AddConfirmOptions(Command& command, ConfirmOptions& options) {
  command.Flag("-y,--yes", options.yes, "Do not ask");
  command.Flag("--dry-run", options.dry_run, "Show what would be done, and do nothing");
  command.Option("--reason", options.reason, "Why; kept with the event");
}

Consent AskConsent(const std::vector<std::string>& what, const ConfirmOptions& options) {
  for (const std::string& line : what)
    std::cerr << (options.dry_run ? "would " : "will ") << ops::Printable(line, 400) << "\n";
  if (options.dry_run) return Consent::kOnlyShown;
  if (options.yes) return Consent::kGo;
  if (isatty(STDIN_FILENO) != 1 || isatty(STDERR_FILENO) != 1) {
    Complain("nobody can be asked here: give --yes to go on, or --dry-run to only look");
    return Consent::kCannotAsk;
  }
  std::cerr << "Go on? [y/N] " << std::flush;
  std::string answer;
  std::getline(std::cin, answer);
  return answer == "y" || answer == "Y" || answer == "yes" ? Consent::kGo : Consent::kNo;
}

int ConsentExitCode(Consent consent) {
  switch (consent) {
    case Consent::kGo:
    case Consent::kOnlyShown:
      return kDone;
    case Consent::kNo:
      return kRefused;
    case Consent::kCannotAsk:
      return kUsage;
  }
  return kFailed;
}

std::string ReasonBody(const ConfirmOptions& options, const std::string& more) {
  passwd entry{};
  passwd* found = nullptr;
  char buffer[4096];
  getpwuid_r(geteuid(), &entry, buffer, sizeof buffer, &found);
  ops::JsonWriter out;
  out.BeginObject()
      .Field("reason", options.reason)
      .Field("by", found == nullptr ? std::to_string(geteuid()) : std::string(found->pw_name))
      .EndObject();
  std::string body = out.Take();
  return more.empty() ? body : "{" + more + "," + body.substr(1);
}

}  // namespace laneway::cli
