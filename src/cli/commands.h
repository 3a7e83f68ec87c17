// commands.h: the branches of the command tree; each is one cmd_<name>.cc. To add a command: write its file,
// add a line here and one in the table of cli.cc.
#pragma once

#include "cli/command.h"

namespace laneway::cli {

void AddUp(Command& root);
void AddRun(Command& root);
void AddTopics(Command& root);
void AddJob(Command& root);
void AddWorker(Command& root);
void AddLane(Command& root);
void AddDead(Command& root);
void AddReport(Command& root);
void AddHealth(Command& root);
void AddDoctor(Command& root);
void AddBench(Command& root);
void AddConfig(Command& root);
void AddCompletion(Command& root);

}  // namespace laneway::cli
