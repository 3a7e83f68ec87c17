#include "log/store_then_log.h"

#include <memory>
#include <utility>

namespace laneway::log {

void StoreThenLog::Commit(std::vector<StoreOp> notes, std::vector<NewRecord> records, AppendDone done) {
  auto waiting = std::make_shared<std::vector<NewRecord>>(std::move(records));
  store_->Commit(std::move(notes), Durability::kSynced,
                 [log = log_, waiting, done = std::move(done)](const absl::Status& noted) mutable {
                   if (!noted.ok() || waiting->empty()) return done(noted, {});
                   log->Append(std::move(*waiting), std::move(done));
                 });
}

}  // namespace laneway::log
