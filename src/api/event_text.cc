#include "api/event_text.h"

#include "absl/strings/str_cat.h"
#include "api/shapes.h"
#include "ops/text.h"

namespace laneway::api {
namespace {

std::string Because(std::string_view lead, std::string_view reason) {
  std::string text(lead);
  if (!reason.empty()) text.append(": ").append(reason);
  return text;
}

std::string By(const std::string& by) { return by.empty() ? "" : " by " + ops::Printable(by, 100); }

std::string FirstLine(const std::string& text) {
  return ops::Printable(text.substr(0, text.find('\n')), 500);
}

EventText Failed(const v1::TaskFailed& failed) {
  std::string how = EndingName(failed.ending());
  if (failed.ending() == v1::EXIT_CODE) how = absl::StrCat("exit ", failed.exit_code());
  if (failed.ending() == v1::SIGNAL) how = absl::StrCat("signal ", failed.signal());
  return {"task_failed", failed.worker(), Because("Failed (" + how + ")", FirstLine(failed.message()))};
}

EventText Progressed(const v1::TaskProgressed& progressed) {
  std::string text = "Running";
  if (progressed.has_percent()) absl::StrAppend(&text, ", ", progressed.percent(), " %");
  if (progressed.has_checkpoint()) text += ", checkpoint stored";
  return {"task_progressed", progressed.worker(), Because(text, FirstLine(progressed.message()))};
}

EventText Submitted(const v1::JobSubmitted& submitted) {
  if (submitted.has_file())
    return {"job_submitted", "", "Submitted: file " + ops::Printable(submitted.file().path(), 500)};
  if (submitted.parts() > 1)
    return {"job_submitted", "",
            absl::StrCat("Submitted: part ", submitted.part() + 1, " of ", submitted.parts(), ", ",
                         submitted.tasks_size(), " tasks")};
  const int tasks = std::max(1, submitted.tasks_size());
  return {"job_submitted", "", absl::StrCat("Submitted: ", tasks, tasks == 1 ? " task" : " tasks")};
}

}  // namespace

EventText TextOf(const v1::Event& event) {
  switch (event.what_case()) {
    case v1::Event::kJobSubmitted:
      return Submitted(event.job_submitted());
    case v1::Event::kTaskAssigned:
      return {"task_assigned", event.task_assigned().worker(),
              absl::StrCat("Assigned to ", event.task_assigned().worker(), ", lane ",
                           event.task_assigned().lane())};
    case v1::Event::kTaskStarted:
      return {"task_started", event.task_started().worker(), "Started on " + event.task_started().worker()};
    case v1::Event::kTaskProgressed:
      return Progressed(event.task_progressed());
    case v1::Event::kTaskSucceeded:
      return {"task_succeeded", event.task_succeeded().worker(),
              absl::StrCat(
                  "Succeeded after ", event.task_succeeded().duration_ms(), " ms",
                  event.task_succeeded().browser_replaced() ? "; its browser was replaced meanwhile" : "")};
    case v1::Event::kTaskFailed:
      return Failed(event.task_failed());
    case v1::Event::kTaskReleased:
      return {"task_released", event.task_released().worker(),
              Because("Given back without having run", event.task_released().reason())};
    case v1::Event::kTaskRepublished:
      return {"task_republished", event.task_republished().worker(),
              Because("Taken from its worker", event.task_republished().reason())};
    case v1::Event::kPhaseOpened:
      return {"phase_opened", "", absl::StrCat("Phase ", event.phase_opened().phase() + 1, " opened")};
    case v1::Event::kJobCancelled:
      return {
          "job_cancelled", "",
          Because("Cancelled" + By(event.job_cancelled().by()), FirstLine(event.job_cancelled().reason()))};
    case v1::Event::kTaskRedriven:
      return {"task_redriven", "",
              Because("Put back to be tried again" + By(event.task_redriven().by()),
                      FirstLine(event.task_redriven().reason()))};
    case v1::Event::kFileClaimed:
      return {"file_claimed", "", "Its file has left incoming/"};
    case v1::Event::kFileMoved:
      return {"file_moved", "",
              event.file_moved().path().empty()
                  ? "Its file is nowhere"
                  : "Its file is in " + ops::Printable(event.file_moved().path(), 500)};
    case v1::Event::kFileGone:
      return {"file_gone", "", Because("Its file is gone", FirstLine(event.file_gone().reason()))};
    case v1::Event::kWorkerLost:
      return {"worker_lost", event.worker_lost().worker(),
              Because("Worker lost", event.worker_lost().reason())};
    case v1::Event::kWorkerReturned:
      return {"worker_returned", event.worker_returned().worker(), "Worker returned"};
    case v1::Event::kBrowserLost:
      return {"browser_lost", event.browser_lost().worker(),
              Because("Browser lost", event.browser_lost().reason())};
    case v1::Event::kBrowserReturned:
      return {"browser_returned", event.browser_returned().worker(), "Browser returned"};
    case v1::Event::kEpochOpened:
      return {"epoch_opened", "", absl::StrCat("Dispatcher of epoch ", event.epoch_opened().epoch())};
    case v1::Event::kJobCarried:
      return {"job_carried", "", "Carried over the end of the log's retention"};
    case v1::Event::WHAT_NOT_SET:
      break;
  }
  return {"unknown", "", "Written by a newer version"};
}

}  // namespace laneway::api
