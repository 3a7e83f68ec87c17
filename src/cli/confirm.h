// confirm.h: before something is destroyed: show it, ask, or be told --yes.
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"

namespace laneway::cli {

struct ConfirmOptions {
  bool yes = false;
  bool dry_run = false;
  std::string reason;
};

enum class Consent { kGo, kOnlyShown, kNo, kCannotAsk };

void AddConfirmOptions(Command& command, ConfirmOptions& options);
// Shows `what` ("cancel job 01J…") on stderr. Asks on a terminal; without one and without --yes it never
// waits: kCannotAsk.
Consent AskConsent(const std::vector<std::string>& what, const ConfirmOptions& options);
// The exit code of everything but kGo.
int ConsentExitCode(Consent consent);
// {"reason": …, "by": <the user's name>}, with `more` (members, without braces) before it.
std::string ReasonBody(const ConfirmOptions& options, const std::string& more = "");

}  // namespace laneway::cli
