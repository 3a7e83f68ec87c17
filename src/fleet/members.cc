#include "fleet/members.h"

#include <algorithm>

namespace laneway {

Member& Members::Get(const std::string& name) {
  Member& member = members_[WorkerId(name)];
  member.id = WorkerId(name);
  return member;
}

const Member* Members::OnHeartbeat(const v1::Heartbeat& beat, Offset offset, LogTime time) {
  const auto incarnation = IncarnationId::FromBytes(beat.incarnation());
  const auto store = StoreId::FromBytes(beat.store());
  if (!IsWorkerName(beat.worker()) || !incarnation || !store) return nullptr;
  Member& member = Get(beat.worker());
  if (offset + 1 <= member.heartbeat) return nullptr;
  member.registered = true;
  member.removed = false;
  member.beats = true;
  member.incarnation = *incarnation;
  member.store = *store;
  member.capacity = std::max(1U, beat.capacity());
  member.labels.assign(beat.labels().begin(), beat.labels().end());
  std::sort(member.labels.begin(), member.labels.end());
  member.heartbeat = offset + 1;
  member.last_beat = time;
  member.lane_poll_age = Millis(beat.lane_poll_age_ms());
  member.held.clear();
  member.running.clear();
  for (const v1::RunningTask& task : beat.held()) {
    const auto job = JobId::FromBytes(task.job_id());
    if (!job) continue;
    member.held.insert({{*job, task.task()}, task.attempt()});
    if (task.started()) member.running.insert({{*job, task.task()}, task.attempt()});
  }
  member.lanes.clear();
  for (const v1::LanePosition& lane : beat.lanes())
    member.lanes[lane.lane()] = {lane.next_offset(), lane.finished_below()};
  member.has_browser = beat.has_browser();
  member.browser_connected = beat.browser_connected();
  member.browser_port = beat.browser_port();
  member.browser_generation = beat.browser_generation();
  member.draining_done = beat.draining_done();
  member.paused_by_itself = beat.paused_by_itself();
  member.leaving = beat.leaving();
  member.stopping = beat.stopping();
  member.note = beat.note();
  member.memory_kib = beat.memory_kib();
  member.cpu_us = beat.cpu_us();
  member.host = beat.host();
  member.version = beat.version();
  return &member;
}

const Member* Members::OnBrowserHealth(const v1::BrowserHealth& health) {
  if (!IsWorkerName(health.worker())) return nullptr;
  Member& member = Get(health.worker());
  member.has_browser = true;
  member.browser_connected = health.connected() && !health.resting();
  member.browser_port = health.port();
  member.browser_generation = health.generation();
  member.browser_note = health.note();
  return &member;
}

const Member* Members::OnControl(const v1::ControlRecord& record, Offset offset) {
  switch (record.what_case()) {
    case v1::ControlRecord::kOperatorIntent: {
      const v1::OperatorIntent& intent = record.operator_intent();
      if (!IsWorkerName(intent.worker())) return nullptr;
      Member& member = Get(intent.worker());
      member.intent = intent.intent() == v1::RESUME ? v1::INTENT_NONE : intent.intent();
      member.intent_at = offset + 1;
      member.intent_reason = intent.reason();
      member.intent_by = intent.by();
      if (member.intent != v1::DRAIN) member.draining_done = false;
      return &member;
    }
    case v1::ControlRecord::kWorkerRegistered: {
      const v1::WorkerRegistered& registered = record.worker_registered();
      if (!IsWorkerName(registered.worker())) return nullptr;
      Member& member = Get(registered.worker());
      member.registered = !registered.removed();
      member.removed = registered.removed();
      if (registered.removed()) return &member;
      if (const auto store = StoreId::FromBytes(registered.store())) member.store = *store;
      if (const auto incarnation = IncarnationId::FromBytes(registered.incarnation()))
        member.incarnation = *incarnation;
      member.capacity = std::max(1U, registered.capacity());
      member.labels.assign(registered.labels().begin(), registered.labels().end());
      std::sort(member.labels.begin(), member.labels.end());
      member.leaving = false;
      return &member;
    }
    case v1::ControlRecord::kLaneTable:
      if (record.lane_table().epoch() < lane_table_epoch_) return nullptr;
      if (record.lane_table().epoch() == lane_table_epoch_ &&
          record.lane_table().version() < lane_table_version_)
        return nullptr;
      lane_table_epoch_ = record.lane_table().epoch();
      lane_table_version_ = record.lane_table().version();
      lane_owners_.clear();
      for (const v1::LaneOwner& owner : record.lane_table().lanes())
        lane_owners_[owner.lane()] = WorkerId(owner.worker());
      return nullptr;
    case v1::ControlRecord::kEpochElected:
      elected_ = std::max<Epoch>(elected_, offset + 1);
      return nullptr;
    case v1::ControlRecord::WHAT_NOT_SET:
      return nullptr;
  }
  return nullptr;
}

const Member* Members::Find(const WorkerId& worker) const {
  const auto found = members_.find(worker);
  return found == members_.end() ? nullptr : &found->second;
}

}  // namespace laneway
