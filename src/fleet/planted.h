// planted.h: bugs that are compiled in on purpose, so that the tests can show they would be found.
//
// Role:       a test of the tests. In normal builds LANEWAY_PLANTED(...) is the constant false and nothing
//             remains of it. With -DLANEWAY_PLANTED_BUGS=ON each is switched on by name; the simulator must
//             find every one (tests/sim/planted_hunt.h), most unit tests theirs.
// Threads:    switched before anything runs.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace laneway::planted {

// One line a bug: the name, and what is wrong when it is on.
#define LANEWAY_PLANTED_BUGS_LIST(X)                                                               \
  X(kL1ReleaseKeepsAttempt, "L1: a released task is PENDING again under the same attempt number")  \
  X(kL2AnyEpochCounts, "L2: EpochOpened counts although a higher one came before")                 \
  X(kL2ActiveBeforeMarks, "L2: a dispatcher acts before its marks were read back")                 \
  X(kL2OneMarkIsEnough, "L2: a dispatcher acts when one of its marks was read back")               \
  X(kL3StartedTwice, "L3: TaskStarted counts again for an attempt that runs")                      \
  X(kL3AnyStore, "L3: a packet is started from any store")                                         \
  X(kL4RedriveAnyAttempt, "L4: TaskRedriven does not look at the attempt it names")                \
  X(kL4LateResultAfterRedrive, "L4: results of attempts before a redrive count")                   \
  X(kL5CarriedReplaces, "L5: JobCarried replaces a job that is known")                             \
  X(kL6ClosedBeforeRename, "L6: FileMoved is appended before the rename")                          \
  X(kL6GoneAnyEpoch, "L6: FileGone counts under an old epoch")                                     \
  X(kL7ActOnAck, "L7: the dispatcher acts on the acknowledgement of its assignment")               \
  X(kI1CountAfterLook, "I1: the number of closed jobs is taken after the file was looked at")      \
  X(kE1NeverStepsDown, "E1: a dispatcher that reads a higher epoch goes on")                       \
  X(kP1NeverResend, "P1: a packet that got lost is not sent again")                                \
  X(kP2TrimUnread, "P2: a lane is trimmed below what was sent, not what was read")                 \
  X(kP2HandoverInFlight, "P2: a lane changes hands while packets for the old owner are in flight") \
  X(kW1StartBeforeAck, "W1: a script starts before its TaskStarted was acknowledged")              \
  X(kW1NotesUnsynced, "W1: events are sent before the notes beside them are synced")               \
  X(kW2NotHeldIgnored, "W2: what runs under an incarnation that is gone is never republished")     \
  X(kW2AssignedRepublished, "W2: a packet that was not read yet is taken for not held")            \
  X(kW3HigherFirst, "W3: a higher attempt is taken before the lower one was reported")             \
  X(kW3ReleaseUnnoted, "W3: a release is appended before it is noted")                             \
  X(kR1Instant, "R1: tasks are republished only at the moment of the verdict")                     \
  X(kR2ReturnedNever, "R2: a worker that beats again is never called returned")                    \
  X(kR2LostAnyBeat, "R2: WorkerLost counts although a later beat was accepted")                    \
  X(kReaperDeafVerdict, "liveness: silence counts while the reaper itself was out of touch")       \
  X(kZ1BackwardMove, "Z1: a file is moved out of a folder newer than the fold knows")              \
  X(kZ2NoStaging, "Z2: a file goes from incoming/ to its attempt's folder directly")               \
  X(kZ2NoIdentity, "Z2: the identity of a claimed file is not verified")                           \
  X(kZ3NoFence, "Z3: a new dispatcher leaves older staging folders as they are")                   \
  X(kZ4OutputUnclaimed, "Z4: a file goes to an output folder before its claim is in the fold")     \
  X(kZ4TakeAgain, "Z4: a claimed task takes a file from incoming/ again")                          \
  X(kZ5NoSync, "Z5: folders are not synced before the packet is sent")                             \
  X(kAckBeforeSync, "an append is acknowledged before it is durable")                              \
  X(kRetryForgetsFile, "a retry forgets its file")                                                 \
  X(kOutboxForgets, "a result is forgotten when its append failed")                                \
  X(kQueueDrops, "a packet is dropped when all slots are taken")                                   \
  X(kCancelIgnored, "a cancelled attempt goes on")                                                 \
  X(kInterruptedUnreported, "an interrupted attempt is not reported after a restart")              \
  X(kRunsAgainAfterRestart, "an interrupted attempt is run again after a restart")                 \
  X(kSnapshotSkipsTail, "a snapshot names an offset it does not cover")                            \
  X(kPhaseOpensEarly, "a phase opens while a task of the one before is unfinished")                \
  X(kSecondSuccess, "a second success of a task counts")                                           \
  X(kBrowserUnasked, "a task that needs a browser starts without one")                             \
  X(kBrowserHoldsAll, "a task that needs no browser waits for one")                                \
  X(kBrowserLossIgnored, "a task goes on although its browser is gone")                            \
  X(kBrowserFailRetried, "a task that is to fail with its browser is tried again")                 \
  X(kBrowserRecycledInUse, "a browser is recycled while a task uses it")                           \
  X(kBrowserHangMissed, "a browser that hangs counts as connected")                                \
  X(kBrowserSilenceMissed, "liveness: a browser that nobody speaks of any more is not called lost")

enum Bug : size_t {
#define LANEWAY_BUG_ENUM(name, text) name,
  LANEWAY_PLANTED_BUGS_LIST(LANEWAY_BUG_ENUM)
#undef LANEWAY_BUG_ENUM
      kBugCount
};

struct BugInfo {
  std::string_view name;
  std::string_view text;
};

inline constexpr std::array<BugInfo, kBugCount> kBugs = {{
#define LANEWAY_BUG_INFO(name, text) {#name, text},
    LANEWAY_PLANTED_BUGS_LIST(LANEWAY_BUG_INFO)
#undef LANEWAY_BUG_INFO
}};

#if LANEWAY_PLANTED_BUGS
inline std::array<bool, kBugCount> switched_on{};
#define LANEWAY_PLANTED(bug) (::laneway::planted::switched_on[::laneway::planted::bug])
#else
#define LANEWAY_PLANTED(bug) false
#endif

}  // namespace laneway::planted
