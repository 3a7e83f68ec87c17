// hash_map.h: the tables that the fold and the workers ask for every record: flat, because a look that finds
// its entry in one cache line costs a fraction of one that follows pointers.
//
// Role:       pure structure. Never iterated where the order would reach a decision.
// Caution:    an insertion moves the entries: no reference outlives one.
#pragma once

#include <functional>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"

namespace laneway {

template <class Key, class Value, class Hash = std::hash<Key>>
using HashMap = absl::flat_hash_map<Key, Value, Hash>;
template <class Key>
using HashSet = absl::flat_hash_set<Key, std::hash<Key>>;

}  // namespace laneway
