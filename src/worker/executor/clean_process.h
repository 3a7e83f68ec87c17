// clean_process.h: makes a clean process of a fresh copy of this program, before it becomes a parent of
// others' programs.
//
// Role:       interface to the kernel.
// Promises:   every signal is blocked and at its default, so that children find all of them at their defaults
//             (Ctrl-C at the terminal is for the main process, which ends us); a session of its own; 0 and 1
//             are /dev/null, 2 stays, 3 to `last_fd` are kept and closed in children, all others are closed;
//             no core dumps; whoever outlives its parent below us becomes our child.
// Threads:    before there are any.
#pragma once

namespace laneway::worker {

void BecomeCleanProcess(int last_fd, const char* name);

}  // namespace laneway::worker
