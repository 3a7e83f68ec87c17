// last_words_teller.h: tells a shared log what the companion of a process that died has left, as soon as it
// has left it.
//
// Role:       a process of its own, started by the companion: the companion stays small and has no client.
// Input:      argv[2]: the data folder; stdin: TellerInput.
// Output:     `events`: one WorkerLost for each worker of the dead process (rule R2: after its scripts were
//             stopped). A file that was told is kept under another name, for the worker that starts again: it
//             then hands back what it had queued.
// Errors:     gives up after a minute without an answer; the worker's next start tells what is left.
// Threads:    its own process.
#pragma once

#include <optional>
#include <string>

#include "laneway/v1/config.pb.h"

namespace laneway::node {

// `resolved`: with its secrets, so it goes through memory only.
std::string TellerInput(const v1::LogConfig& resolved);

// Runs the teller and gives its exit code; nothing when this process is not to be one.
std::optional<int> TellerMain(int argc, char** argv);

}  // namespace laneway::node
