#include "log/store_then_log.h"

#include <memory>
#include <utility>

#include "fleet/planted.h"

namespace laneway::log {

void StoreThenLog::Commit(std::vector<StoreOp> notes, std::vector<NewRecord> records, AppendDone done) {
  auto waiting = std::make_shared<std::vector<NewRecord>>(std::move(records));
  const Durability durability =
      LANEWAY_PLANTED(kW1NotesUnsynced) ? Durability::kBuffered : Durability::kSynced;
  store_->Commit(std::move(notes), durability,
                 [log = log_, waiting, done = std::move(done)](const absl::Status& noted) mutable {
                   if (!noted.ok() || waiting->empty()) return done(noted, {});
                   log->Append(std::move(*waiting), std::move(done));
                 });
}

}  // namespace laneway::log
