#include "report/incidents.h"

#include <algorithm>
#include <utility>

namespace laneway::report {
namespace {

std::optional<Millis> Since(LogTime earlier, LogTime at) {
  if (earlier.ms == 0) return std::nullopt;
  return std::max(at - earlier, Millis(0));  // partitions have clocks of their own
}

}  // namespace

std::string_view IncidentName(IncidentKind kind) {
  constexpr std::string_view kNames[kIncidentKinds] = {
      "worker_lost", "browser_lost", "takeover", "interrupted", "taken_back", "retry", "dead"};
  return kNames[static_cast<size_t>(kind)];
}

std::string_view IncidentText(IncidentKind kind) {
  constexpr std::string_view kTexts[kIncidentKinds] = {"Worker lost",
                                                       "Browser lost",
                                                       "Dispatcher started or took over",
                                                       "Attempt interrupted",
                                                       "Task taken back",
                                                       "Task failed, tried again",
                                                       "Task died"};
  return kTexts[static_cast<size_t>(kind)];
}

Incidents::OpenId Incidents::Begin(Incident incident) {
  Open open{.incident = std::move(incident), .counted = inside_};
  if (inside_) {
    KindFigures& kind = Of(open.incident);
    kind.count++;
    if (open.incident.silent) kind.silent.Add(*open.incident.silent);
    if (rows_.size() < rows_max_) {
      open.row = rows_.size();
      rows_.push_back(open.incident);
    } else {
      not_listed_++;
    }
  }
  open_[next_open_] = std::move(open);
  return next_open_++;
}

void Incidents::Save(const Open& open) {
  if (open.row) rows_[*open.row] = open.incident;
}

void Incidents::Hold(OpenId id, TaskId task) {
  Open& open = open_[id];
  open.incident.tasks++;
  open.incident.waiting++;
  awaited_[task].push_back(id);
  Save(open);
}

// Kept while something may still be said about it.
void Incidents::MaybeForget(OpenId id) {
  const auto found = open_.find(id);
  if (found == open_.end()) return;
  const Incident& incident = found->second.incident;
  const bool may_return = incident.kind == IncidentKind::kWorkerLost ||
                          incident.kind == IncidentKind::kBrowserLost || incident.kind == IncidentKind::kDead;
  if (incident.waiting == 0 && (incident.back || !may_return)) open_.erase(found);
}

void Incidents::LostOf(std::map<std::string, OpenId>& current, IncidentKind kind, const std::string& worker,
                       std::string_view reason, LogTime last_sign, LogTime at) {
  const auto known = current.find(worker);
  if (known != current.end() && !open_[known->second].declared) {  // what it led to was read first
    Open& open = open_[known->second];
    open.declared = true;
    open.incident.what = reason;
    Save(open);
    return;
  }
  current[worker] = Begin({.kind = kind,
                           .at = at,
                           .worker = worker,
                           .what = std::string(reason),
                           .silent = Since(last_sign, at)});
}

void Incidents::ReturnedOf(std::map<std::string, OpenId>& current, const std::string& worker, LogTime at) {
  const auto known = current.find(worker);
  if (known == current.end()) return;
  const OpenId id = known->second;
  current.erase(known);
  const auto found = open_.find(id);
  if (found == open_.end()) return;
  Open& open = found->second;
  open.incident.back = Since(open.incident.at, at);
  if (open.counted) Of(open.incident).back.Add(*open.incident.back);
  Save(open);
  MaybeForget(id);
}

void Incidents::OnWorkerLost(const std::string& worker, std::string_view reason, LogTime at) {
  LostOf(lost_, IncidentKind::kWorkerLost, worker, reason, signs_[worker].worker, at);
}

void Incidents::OnWorkerReturned(const std::string& worker, LogTime at) {
  ReturnedOf(lost_, worker, at);
  OnWorkerSign(worker, at);
}

// The worker's own watchdog says it first; the reaper's verdict about the same loss comes later.
void Incidents::OnBrowserLost(const std::string& worker, std::string_view reason, LogTime at) {
  const auto known = browsers_.find(worker);
  if (known != browsers_.end() && open_[known->second].declared) return;
  LostOf(browsers_, IncidentKind::kBrowserLost, worker, reason, signs_[worker].browser, at);
}

void Incidents::OnBrowserReturned(const std::string& worker, LogTime at) {
  ReturnedOf(browsers_, worker, at);
  OnBrowserSign(worker, at);
}

void Incidents::OnTakeover(Epoch epoch, uint64_t open, LogTime at) {
  Incident incident{.kind = IncidentKind::kTakeover, .at = at, .what = "epoch " + std::to_string(epoch)};
  if (open != 0) incident.silent = Since(dispatcher_sign_, at);  // else there was nothing to be said
  takeover_ = Begin(std::move(incident));
  takeover_epoch_ = epoch;
}

void Incidents::OnAssigned(Epoch epoch, LogTime at) {
  dispatcher_sign_ = at;
  if (takeover_ == 0 || epoch < takeover_epoch_) return;
  const auto found = open_.find(std::exchange(takeover_, 0));
  if (found == open_.end()) return;
  Open& open = found->second;
  open.incident.at_work = Since(open.incident.at, at);
  // Without a task that waited it says how long nobody came, not how long it took.
  if (open.counted && open.incident.silent) Of(open.incident).at_work.Add(*open.incident.at_work);
  Save(open);
  open_.erase(found);
}

void Incidents::Single(IncidentKind kind, const SetBack& what, LogTime at) {
  const OpenId id =
      Begin({.kind = kind, .at = at, .worker = what.worker, .what = what.why, .task = what.label});
  if (kind == IncidentKind::kDead) {
    dead_[what.task] = id;
  } else {
    Hold(id, what.task);
  }
}

void Incidents::OnRedriven(TaskId task, LogTime at) {
  const auto known = dead_.find(task);
  if (known == dead_.end()) return;
  const OpenId id = known->second;
  dead_.erase(known);
  Open& open = open_[id];
  open.incident.back = Since(open.incident.at, at);
  if (open.counted) Of(open.incident).back.Add(*open.incident.back);
  Hold(id, task);
}

void Incidents::OnRepublished(const SetBack& what, std::string_view reason, LogTime at) {
  const bool worker = reason == "worker_lost";
  if (!worker && reason != "browser_lost") return Single(IncidentKind::kTakenBack, what, at);
  std::map<std::string, OpenId>& current = worker ? lost_ : browsers_;
  auto known = current.find(what.worker);
  if (known == current.end()) {
    const Signs& signs = signs_[what.worker];
    const OpenId id = Begin({.kind = worker ? IncidentKind::kWorkerLost : IncidentKind::kBrowserLost,
                             .at = at,
                             .worker = what.worker,
                             .what = std::string(reason),
                             .silent = Since(worker ? signs.worker : signs.browser, at)});
    open_[id].declared = false;
    known = current.emplace(what.worker, id).first;
  }
  Hold(known->second, what.task);
}

void Incidents::OnStarted(TaskId task, const std::string& worker, LogTime at) {
  const auto awaited = awaited_.extract(task);
  if (awaited.empty()) return;
  for (const OpenId id : awaited.mapped()) {
    const auto found = open_.find(id);
    if (found == open_.end()) continue;
    Open& open = found->second;
    Incident& incident = open.incident;
    if (incident.waiting > 0) incident.waiting--;
    incident.at_work = std::max(incident.at_work.value_or(Millis(0)), *Since(incident.at, at));
    incident.at_work_by = worker;
    if (incident.waiting == 0 && !std::exchange(open.timed, true) && open.counted)
      Of(incident).at_work.Add(*incident.at_work);
    Save(open);
    MaybeForget(id);
  }
}

void Incidents::OnEnded(TaskId task) {
  const auto awaited = awaited_.extract(task);
  if (awaited.empty()) return;
  for (const OpenId id : awaited.mapped()) {
    const auto found = open_.find(id);
    if (found == open_.end()) continue;
    if (found->second.incident.waiting > 0) found->second.incident.waiting--;
    Save(found->second);
    MaybeForget(id);
  }
}

std::vector<Incident> Incidents::Rows() const {
  std::vector<Incident> rows = rows_;
  std::stable_sort(rows.begin(), rows.end(),
                   [](const Incident& a, const Incident& b) { return a.at < b.at; });
  return rows;
}

}  // namespace laneway::report
