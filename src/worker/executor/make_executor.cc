#include "worker/executor/make_executor.h"

#include <utility>

#include "worker/executor/builtin_executor.h"

namespace laneway::worker {
namespace {

class RoutingExecutor : public Executor {
 public:
  RoutingExecutor(std::shared_ptr<Companion> companion, EventSink on_event)
      : on_event_(on_event), builtin_(on_event) {
    if (companion) scripts_ = std::make_unique<CompanionExecutor>(std::move(companion), std::move(on_event));
  }

  void Start(RunSpec spec) override {
    if (!spec.handler.empty()) {
      builtin_.Start(std::move(spec));
    } else if (scripts_ && !spec.argv.empty()) {
      scripts_->Start(std::move(spec));
    } else {
      Ended ended;
      ended.key = spec.key;
      ended.ending = v1::CANNOT_START;
      ended.message = spec.argv.empty() ? "there is neither a program nor a handler to run (handlers: " +
                                              BuiltinExecutor::KnownHandlers() + ")"
                                        : "scripts cannot be run here: there is no companion process";
      on_event_(std::move(ended));
    }
  }

  // Each ignores keys it does not know.
  void Stop(const AttemptKey& key, StopReason reason) override {
    builtin_.Stop(key, reason);
    if (scripts_) scripts_->Stop(key, reason);
  }

 private:
  const EventSink on_event_;
  BuiltinExecutor builtin_;
  std::unique_ptr<CompanionExecutor> scripts_;
};

}  // namespace

std::unique_ptr<Executor> MakeExecutor(std::shared_ptr<Companion> companion, EventSink on_event) {
  return std::make_unique<RoutingExecutor>(std::move(companion), std::move(on_event));
}

}  // namespace laneway::worker
