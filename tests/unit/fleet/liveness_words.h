// liveness_words.h: how the tests of Liveness say what they mean.
#pragma once

#include <chrono>
#include <ostream>
#include <vector>

#include "fleet/liveness.h"

namespace laneway {

inline void PrintTo(const Verdict& verdict, std::ostream* out) {
  const char* kinds[] = {"lost", "returned", "browser lost", "browser returned"};
  *out << verdict.worker.name << " " << kinds[static_cast<size_t>(verdict.kind)] << " of incarnation "
       << verdict.incarnation.lo << " at " << verdict.judged << " " << verdict.reason;
}

using std::chrono_literals::operator""s;
using Kind = Verdict::Kind;
using Verdicts = std::vector<Verdict>;

inline const WorkerId kDtf01("DTF-01"), kDtf02("DTF-02");
inline const IncarnationId kFirst{0, 1}, kSecond{0, 2};
inline const LivenessLimits kLimits{.heartbeat_timeout = 30s, .browser_timeout = 60s};

inline LogTime At(Millis time) { return LogTime{1000000} + time; }

inline Beat BeatOf(Offset offset, IncarnationId incarnation = kFirst, const WorkerId& worker = kDtf01) {
  return {worker, incarnation, offset};
}
inline Beat Leaving(Offset offset) { return {kDtf01, kFirst, offset, Millis(0), false, true}; }
inline Beat NotPolling(Offset offset, Millis age) { return {kDtf01, kFirst, offset, age}; }
inline Beat WithBrowser(Offset offset, IncarnationId incarnation = kFirst) {
  return {kDtf01, incarnation, offset, Millis(0), true};
}
inline BrowserBeat Browser(Offset offset, bool connected) { return {kDtf01, kFirst, offset, connected}; }
inline Verdict Lost(uint64_t judged, const char* reason = "silent", IncarnationId incarnation = kFirst) {
  return {Kind::kWorkerLost, kDtf01, incarnation, judged, reason};
}
inline Verdict Returned(uint64_t judged, IncarnationId incarnation = kFirst) {
  return {Kind::kWorkerReturned, kDtf01, incarnation, judged, ""};
}
inline Verdict BrowserIs(Kind kind, uint64_t judged, const char* reason = "browser_away") {
  return {kind, kDtf01, kFirst, judged, kind == Kind::kBrowserLost ? reason : ""};
}
inline FoldSays BrowserLostSays(uint64_t judged) { return {kDtf01, false, true, 0, {}, judged}; }
inline FoldSays Fold(bool lost, bool browser_lost = false) { return {kDtf01, lost, browser_lost}; }

}  // namespace laneway
