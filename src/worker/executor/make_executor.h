// make_executor.h: the executor of a worker: builtin handlers here, scripts through the companion.
//
// Role:       puts the executors together.
// Threads:    as executor.h says.
#pragma once

#include <memory>

#include "worker/executor/companion_executor.h"

namespace laneway::worker {

// A spec with a handler is builtin, one with argv is a script; one with neither ends with CANNOT_START.
// Without a companion
// scripts end with CANNOT_START too.
std::unique_ptr<Executor> MakeExecutor(std::shared_ptr<Companion> companion, EventSink on_event);

}  // namespace laneway::worker
