#include "fleet/backlog.h"

#include <algorithm>
#include <utility>

namespace laneway {
namespace {

template <class Record>
uint32_t TakeFree(std::vector<uint32_t>& free, std::vector<Record>& records) {
  if (free.empty()) {
    records.emplace_back();
    return static_cast<uint32_t>(records.size() - 1);
  }
  const uint32_t index = free.back();
  free.pop_back();
  return index;
}

}  // namespace

size_t Backlog::KindHash::operator()(const KindName& name) const noexcept {
  uint64_t hash = name.browser ? 1 : 2;
  for (const std::string& label : name.labels) hash = Mix64(hash ^ HashBytes(label));
  hash = Mix64(hash + 3);
  for (const std::string& resource : name.resources) hash = Mix64(hash ^ HashBytes(resource));
  return hash;
}

uint32_t Backlog::Use(const Needs& needs) {
  const uint32_t kind = KindOf(needs);
  uint32_t found = kNone;
  if (needs.ordering_key.empty()) {
    if (kinds_[kind].plain_class == kNone) kinds_[kind].plain_class = MakeClass(kind, kNone);
    found = kinds_[kind].plain_class;
  } else {
    const auto [at, added] = key_by_name_.try_emplace(needs.ordering_key, 0);
    if (added) {
      at->second = TakeFree(free_keys_, keys_);
      keys_[at->second] = {&at->first, 0, kNone};
    }
    for (found = keys_[at->second].first_class; found != kNone && classes_[found].kind != kind;)
      found = classes_[found].next_of_key;
    if (found == kNone) found = MakeClass(kind, at->second);
  }
  classes_[found].users++;
  if (kinds_[kind].users++ == 0) unused_kinds_--;
  return found;
}

uint32_t Backlog::MakeClass(uint32_t kind, uint32_t key) {
  const uint32_t index = TakeFree(free_classes_, classes_);
  class_positions_.resize(classes_.size(), kNotInHeap);
  Class& made = classes_[index];
  made.kind = kind;
  made.key = key;
  if (key != kNone) made.next_of_key = std::exchange(keys_[key].first_class, index);
  return index;
}

void Backlog::Unuse(uint32_t index) {
  Class& old = classes_[index];
  const uint32_t kind = old.kind;
  if (--old.users == 0 && old.key != kNone) {
    const uint32_t key = old.key;
    uint32_t* link = &keys_[key].first_class;
    while (*link != index) link = &classes_[*link].next_of_key;
    *link = old.next_of_key;
    if (keys_[key].first_class == kNone) {  // nobody holds it either: a holder is a user
      key_by_name_.erase(key_by_name_.find(*keys_[key].name));
      free_keys_.push_back(key);
    }
    FreeClass(index);
  }
  if (--kinds_[kind].users == 0 && ++unused_kinds_ > kUnusedKindsMax) DropUnusedKinds();
}

void Backlog::FreeClass(uint32_t index) {
  classes_[index] = Class();
  free_classes_.push_back(index);
}

uint32_t Backlog::KindOf(const Needs& needs) {
  if (last_kind_ != kNone) {
    const KindName& last = kinds_[last_kind_].name;
    if (last.browser == needs.browser && last.labels == needs.labels && last.resources == needs.resources)
      return last_kind_;
  }
  const auto at = kind_by_name_.find({needs.browser, needs.labels, needs.resources});
  return last_kind_ = at != kind_by_name_.end() ? at->second : MakeKind(needs);
}

uint32_t Backlog::MakeKind(const Needs& needs) {
  const uint32_t index = TakeFree(free_kinds_, kinds_);
  Kind& kind = kinds_[index];
  kind = Kind();
  kind.used = true;
  kind.name = {needs.browser, needs.labels, needs.resources};
  kind_by_name_.emplace(kind.name, index);
  for (const std::string& name : needs.resources) {
    const uint32_t resource = resources_.Find(name);
    if (resource != ResourceTable::kNone) kind.resources.push_back(resource);
  }
  std::sort(kind.resources.begin(), kind.resources.end());
  kind.resources.erase(std::unique(kind.resources.begin(), kind.resources.end()), kind.resources.end());
  std::vector<std::string> labels = needs.labels;
  std::sort(labels.begin(), labels.end());
  labels.erase(std::unique(labels.begin(), labels.end()), labels.end());
  kind.group = GroupOf(needs.browser, labels);
  groups_[kind.group].kinds++;
  for (const uint32_t resource : kind.resources) kind.gates.push_back(GateOf(kind.group, resource));
  if (kind.gates.empty()) kind.gates.push_back(GateOf(kind.group, kNone));
  for (const uint32_t gate : kind.gates) gates_[gate].kinds++;
  kind.gate = kind.gates.front();
  unused_kinds_++;  // until it has a user
  return index;
}

uint32_t Backlog::GroupOf(bool browser, const std::vector<std::string>& labels) {
  const auto [at, added] = group_by_name_.try_emplace({browser, labels}, 0);
  if (!added) return at->second;
  const uint32_t index = at->second = TakeFree(free_groups_, groups_);
  groups_[index] = Group();
  groups_[index].used = true;
  groups_[index].browser = browser;
  groups_[index].labels = labels;
  const uint32_t view = groups_[index].view = workers_.OpenView(browser, labels);
  if (group_of_view_.size() <= view) group_of_view_.resize(view + 1, kNone);
  group_of_view_[view] = index;
  return index;
}

uint32_t Backlog::GateOf(uint32_t group, uint32_t resource) {
  const auto [at, added] = groups_[group].gates.try_emplace(resource, 0);
  if (!added) return at->second;
  const uint32_t index = at->second = TakeFree(free_gates_, gates_);
  gates_[index] = Gate();
  gates_[index].group = group;
  gates_[index].resource = resource;
  if (resource != kNone) {
    if (gates_of_resource_.size() <= resource) gates_of_resource_.resize(resource + 1);
    gates_of_resource_[resource].push_back(index);
  }
  return index;
}

void Backlog::DropUnusedKinds() {
  for (uint32_t kind = 0; kind < kinds_.size(); kind++) {
    if (kinds_[kind].used && kinds_[kind].users == 0) DropKind(kind);
  }
  unused_kinds_ = 0;
  last_kind_ = kNone;
}

void Backlog::DropKind(uint32_t index) {
  Kind& kind = kinds_[index];
  kind_by_name_.erase(kind.name);
  if (kind.plain_class != kNone) FreeClass(kind.plain_class);
  Group& group = groups_[kind.group];
  for (const uint32_t gate : kind.gates) {
    if (--gates_[gate].kinds > 0) continue;
    const uint32_t resource = gates_[gate].resource;
    group.gates.erase(resource);
    if (resource != kNone) std::erase(gates_of_resource_[resource], gate);
    free_gates_.push_back(gate);
  }
  if (--group.kinds == 0) {
    workers_.CloseView(group.view);
    group_of_view_[group.view] = kNone;
    group_by_name_.erase({group.browser, group.labels});
    group.used = false;
    free_groups_.push_back(kind.group);
  }
  kind = Kind();
  free_kinds_.push_back(index);
}

void Backlog::Push(uint32_t slot) {
  const TaskSlot& task = slots_[slot];
  classes_[task.class_index].queue.Push(task.order, slot);
  UpdateClass(task.class_index);
}

void Backlog::Dropped(uint32_t slot) {
  const uint32_t index = slots_[slot].class_index;
  classes_[index].queue.Dropped(Alive());
  UpdateClass(index);
}

void Backlog::Take(uint32_t index, LogTime now) {
  const Class& taken = classes_[index];
  for (const uint32_t resource : kinds_[taken.kind].resources) resources_.Take(resource, now);
  if (taken.key != kNone) keys_[taken.key].holders++;
  UpdateKey(index);
}

void Backlog::GiveBack(uint32_t index) {
  const Class& given = classes_[index];
  for (const uint32_t resource : kinds_[given.kind].resources) resources_.GiveBack(resource);
  if (given.key != kNone && --keys_[given.key].holders == 0) UpdateKey(index);
}

void Backlog::UpdateKey(uint32_t index) {
  if (classes_[index].key == kNone) return UpdateClass(index);
  for (uint32_t at = keys_[classes_[index].key].first_class; at != kNone; at = classes_[at].next_of_key)
    UpdateClass(at);
}

void Backlog::UpdateClass(uint32_t index) {
  const Class& changed = classes_[index];
  const auto position = [this](uint32_t item) -> uint32_t& { return class_positions_[item]; };
  const bool in = !changed.queue.empty() && (changed.key == kNone || keys_[changed.key].holders == 0);
  if (in) {
    kinds_[changed.kind].heap.Set(index, changed.queue.Head().key, position);
  } else {
    kinds_[changed.kind].heap.Erase(index, position);
  }
  UpdateKind(changed.kind);
}

void Backlog::UpdateKind(uint32_t index) {
  const Kind& kind = kinds_[index];
  const auto position = [this](uint32_t item) -> uint32_t& { return kinds_[item].position; };
  if (!kind.heap.empty()) {
    gates_[kind.gate].heap.Set(index, kind.heap.Top().key, position);
  } else {
    gates_[kind.gate].heap.Erase(index, position);
  }
  UpdateGate(kind.gate);
}

void Backlog::UpdateGate(uint32_t index) {
  const Gate& gate = gates_[index];
  const auto position = [this](uint32_t item) -> uint32_t& { return gates_[item].position; };
  if (!gate.heap.empty() && (gate.resource == kNone || resources_.Open(gate.resource))) {
    groups_[gate.group].heap.Set(index, gate.heap.Top().key, position);
  } else {
    groups_[gate.group].heap.Erase(index, position);
  }
  UpdateGroup(gate.group);
}

void Backlog::UpdateGroup(uint32_t index) {
  const Group& group = groups_[index];
  const auto position = [this](uint32_t item) -> uint32_t& { return groups_[item].position; };
  if (!group.heap.empty() && workers_.HasWorker(group.view)) {
    groups_heap_.Set(index, group.heap.Top().key, position);
  } else {
    groups_heap_.Erase(index, position);
  }
}

void Backlog::Refresh() {
  resources_.ForChanged([this](uint32_t resource) {
    if (resource >= gates_of_resource_.size()) return;
    for (const uint32_t gate : gates_of_resource_[resource]) UpdateGate(gate);
  });
  workers_.ForChangedViews([this](uint32_t view) {
    if (view < group_of_view_.size() && group_of_view_[view] != kNone) UpdateGroup(group_of_view_[view]);
  });
}

uint32_t Backlog::ClosedGate(const Kind& kind) const {
  for (size_t i = 0; i < kind.resources.size(); i++) {
    if (!resources_.Open(kind.resources[i])) return kind.gates[i];
  }
  return kNone;
}

void Backlog::MoveToGate(uint32_t index, uint32_t gate) {
  Kind& kind = kinds_[index];
  const uint32_t left = kind.gate;
  gates_[left].heap.Erase(index, [this](uint32_t item) -> uint32_t& { return kinds_[item].position; });
  UpdateGate(left);
  kind.gate = gate;
  UpdateKind(index);
}

std::optional<Backlog::Next> Backlog::Pop(LogTime now) {
  while (!groups_heap_.empty()) {
    const Group& group = groups_[groups_heap_.Top().item];
    const uint32_t kind = gates_[group.heap.Top().item].heap.Top().item;
    const uint32_t closed = ClosedGate(kinds_[kind]);
    if (closed != kNone) {
      MoveToGate(kind, closed);
      continue;
    }
    const uint32_t index = kinds_[kind].heap.Top().item;
    TaskQueue& queue = classes_[index].queue;
    const Next next{queue.Head().slot, group.view};
    queue.Pop(Alive());
    Take(index, now);
    return next;
  }
  return std::nullopt;
}

bool Backlog::WaitsFor(uint32_t resource) const {
  if (resource >= gates_of_resource_.size()) return false;
  for (const uint32_t gate : gates_of_resource_[resource]) {
    if (!gates_[gate].heap.empty() && workers_.HasWorker(groups_[gates_[gate].group].view)) return true;
  }
  return false;
}

std::string Backlog::WhyWaiting(uint32_t index, LogTime now) const {
  const Class& waiting = classes_[index];
  const Kind& kind = kinds_[waiting.kind];
  if (waiting.key != kNone && keys_[waiting.key].holders > 0) {
    return "another task with the ordering key " + *keys_[waiting.key].name + " is under way";
  }
  const uint32_t closed = ClosedGate(kind);
  if (closed != kNone) return resources_.WhyClosed(gates_[closed].resource, now);
  const uint32_t view = groups_[kind.group].view;
  if (!workers_.HasWorker(view)) return workers_.WhyNobody(view);
  return "its turn has not come";
}

}  // namespace laneway
