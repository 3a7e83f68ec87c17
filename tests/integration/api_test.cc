// A whole standalone fleet in a folder of its own, asked over HTTP as its users do.
#include <curl/curl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <functional>

#include "node/node.h"
#include "ops/clock.h"
#include "ops/config.h"
#include "ops/strict_json.h"
#include "support/temp_folder.h"

namespace laneway {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;

constexpr auto kPatience = seconds(60);

struct Answer {
  long status = 0;
  std::string body;
  ops::JsonValue json;

  std::string Text(std::string_view path) const {
    const ops::JsonValue* value = &json;
    while (value != nullptr && !path.empty()) {
      const size_t dot = path.find('.');
      const std::string_view key = path.substr(0, dot);
      path = dot == std::string_view::npos ? "" : path.substr(dot + 1);
      if (value->kind == ops::JsonKind::kArray) {
        const size_t at = static_cast<size_t>(std::atoi(std::string(key).c_str()));
        value = at < value->items.size() ? &value->items[at] : nullptr;
      } else {
        value = value->Find(key);
      }
    }
    if (value == nullptr) return "(nothing)";
    if (value->kind == ops::JsonKind::kInteger) return std::to_string(value->magnitude);
    if (value->kind == ops::JsonKind::kBool) return value->boolean ? "true" : "false";
    return value->kind == ops::JsonKind::kNull ? "null" : value->text;
  }
  size_t Count(std::string_view list) const {
    const ops::JsonValue* value = json.Find(list);
    return value == nullptr ? 0 : value->items.size();
  }
};

class Client {
 public:
  explicit Client(std::string url) : url_(std::move(url)), curl_(curl_easy_init()) {}
  ~Client() { curl_easy_cleanup(curl_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  Answer Get(const std::string& target) { return Ask(target, nullptr); }
  Answer Post(const std::string& target, const std::string& body) { return Ask(target, &body); }

  // Reads a stream until `enough` says so of all that came.
  std::string Stream(const std::string& target, const std::string& last_id,
                     std::function<bool(const std::string&)> enough) {
    struct Reading {
      std::string text;
      std::function<bool(const std::string&)> enough;
    } reading{"", std::move(enough)};
    curl_easy_reset(curl_);
    curl_slist* headers = nullptr;
    if (!last_id.empty()) headers = curl_slist_append(nullptr, ("Last-Event-ID: " + last_id).c_str());
    curl_easy_setopt(curl_, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl_, CURLOPT_URL, (url_ + target).c_str());
    curl_easy_setopt(curl_, CURLOPT_TIMEOUT, 60L);
    curl_write_callback write = [](char* data, size_t size, size_t count, void* to) -> size_t {
      auto* all = static_cast<Reading*>(to);
      all->text.append(data, size * count);
      return all->enough(all->text) ? 0 : size * count;  // 0 ends it
    };
    curl_easy_setopt(curl_, CURLOPT_WRITEFUNCTION, write);
    curl_easy_setopt(curl_, CURLOPT_WRITEDATA, &reading);
    curl_easy_perform(curl_);
    curl_slist_free_all(headers);
    return reading.text;
  }

 private:
  Answer Ask(const std::string& target, const std::string* body) {
    Answer answer;
    curl_easy_reset(curl_);
    curl_slist* headers = nullptr;
    if (body != nullptr) {
      headers = curl_slist_append(nullptr, "Content-Type: application/json");
      curl_easy_setopt(curl_, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body->size()));
      curl_easy_setopt(curl_, CURLOPT_POSTFIELDS, body->data());
    }
    curl_easy_setopt(curl_, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl_, CURLOPT_URL, (url_ + target).c_str());
    curl_easy_setopt(curl_, CURLOPT_TIMEOUT, 60L);
    curl_write_callback write = [](char* data, size_t size, size_t count, void* to) -> size_t {
      static_cast<std::string*>(to)->append(data, size * count);
      return size * count;
    };
    curl_easy_setopt(curl_, CURLOPT_WRITEFUNCTION, write);
    curl_easy_setopt(curl_, CURLOPT_WRITEDATA, &answer.body);
    EXPECT_EQ(curl_easy_perform(curl_), CURLE_OK) << target;
    curl_slist_free_all(headers);
    curl_easy_getinfo(curl_, CURLINFO_RESPONSE_CODE, &answer.status);
    ops::ParsedJson parsed = ops::ParseStrictJson(
        answer.body, {.bytes_max = 256 << 20, .values_max = 20'000'000, .depth_max = 64});
    if (parsed.readable) answer.json = std::move(parsed.root);
    return answer;
  }

  const std::string url_;
  CURL* curl_;
};

class ApiTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string text = R"({"zone": {"path": ")" + folder_.path() + R"(/zone"}, "log": {"data": ")" +
                             folder_.path() +
                             R"(/data"}, "job": {"handler": "noop", "max_attempts": 1},
      "worker": {"in_process_thread_count": 3, "capacity": 8},
      "api": {"listen": "127.0.0.1:0"}, "metrics": {"listen": "127.0.0.1:0"}})";
    const ops::ConfigResult config = ops::LoadConfigText(text, {.file = "laneway.json"});
    for (const auto& problem : config.problems) ADD_FAILURE() << problem.ToString();
    ASSERT_TRUE(config.config.has_value());
    node::NodeOptions options;
    options.config = config.config->values;
    for (const std::string& name : ops::WorkerNames(options.config.worker()))
      options.workers.emplace_back(name);
    auto fleet = node::Node::Start(std::move(options));
    ASSERT_TRUE(fleet.ok()) << fleet.status();
    fleet_ = std::move(*fleet);
    client_ = std::make_unique<Client>("http://" + fleet_->api_address()->ToString());
  }

  std::string Start(const std::string& definition) {
    const Answer answer = client_->Post("/start_job", definition);
    EXPECT_EQ(answer.status, 202) << answer.body;
    return answer.Text("job_id");
  }

  // Asks until the answer is as wanted: each question waits for the fold's loop.
  Answer Until(const std::string& target, const std::function<bool(const Answer&)>& wanted) {
    const auto end = ops::RealClock::Get().Steady() + kPatience;
    Answer answer = client_->Get(target);
    while (!wanted(answer) && ops::RealClock::Get().Steady() < end) answer = client_->Get(target);
    EXPECT_TRUE(wanted(answer)) << target << "\n" << answer.body.substr(0, 2000);
    return answer;
  }
  Answer Until(const std::string& target, const std::string& path, const std::string& value) {
    return Until(target, [&](const Answer& answer) { return answer.Text(path) == value; });
  }
  Answer Ended(const std::string& id, const std::string& state) {
    return Until("/get_job_status?job_id=" + id, "state", state);
  }

  testing::TempFolder folder_;
  std::unique_ptr<node::Node> fleet_;
  std::unique_ptr<Client> client_;
};

TEST_F(ApiTest, PhasesWithDataSourcesRunOneAfterTheOther) {
  const std::string id = Start(
      R"({"name": "nightly", "handler": "noop",
                                    "phases": ["fetch", "load"], "data_sources": ["a", "b", "c"]})");
  const Answer job = Ended(id, "SUCCEEDED");
  EXPECT_EQ(job.Text("name"), "nightly");
  EXPECT_EQ(job.Text("source"), "api");
  EXPECT_EQ(job.Text("tasks.succeeded"), "6");
  EXPECT_EQ(job.Text("phases.1.name"), "load");
  EXPECT_EQ(job.Text("phases.1.tasks.succeeded"), "3");
  ASSERT_EQ(job.Count("task_list"), 6U);
  EXPECT_EQ(job.Text("task_list.4.data_source"), "b");
  EXPECT_EQ(job.Text("task_list.4.phase"), "load");
  EXPECT_EQ(job.Text("task_list.0.attempts.0.outcome"), "succeeded");
  std::string fetched;  // the last end of the first phase is before the first start of the second
  for (int i = 0; i < 3; i++)
    fetched = std::max(fetched, job.Text("task_list." + std::to_string(i) + ".attempts.0.ended_at"));
  for (int i = 3; i < 6; i++)
    EXPECT_GE(job.Text("task_list." + std::to_string(i) + ".attempts.0.started_at"), fetched);

  const Answer events = client_->Get("/api/v1/jobs/" + id + "/events");
  EXPECT_EQ(events.Text("events.0.type"), "job_submitted");
  EXPECT_THAT(events.body, HasSubstr("Phase 2 opened"));
  EXPECT_EQ(events.Text("cut"), "false");
  EXPECT_EQ(events.Count("events"), 1U + 6 * 3 + 1);
  const Answer page = client_->Get("/api/v1/jobs/" + id + "/events?limit=2");
  EXPECT_EQ(page.Count("events"), 2U);
  EXPECT_EQ(client_->Get("/api/v1/jobs/" + id + "/events?limit=1&cursor=" + page.Text("next_cursor"))
                .Text("events.0.offset"),
            events.Text("events.2.offset"));
}

TEST_F(ApiTest, TheSameKeyIsTheSameJob) {
  const std::string definition = R"({"handler": "noop", "idempotency_key": "monday"})";
  const std::string id = Start(definition);
  EXPECT_EQ(Start(definition), id);
  Ended(id, "SUCCEEDED");
  EXPECT_EQ(Start(definition), id);
  EXPECT_EQ(client_->Get("/api/v1/jobs").Count("jobs"), 1U);
}

TEST_F(ApiTest, AFailedJobIsRetriedAndRedriven) {
  const std::string id =
      Start(R"({"handler": "fail", "name": "bad", "max_attempts": 1, "data_sources": ["x", "y"]})");
  Ended(id, "FAILED");
  Answer dead = Until("/api/v1/dead", [](const Answer& answer) { return answer.Count("dead") == 2; });
  EXPECT_EQ(dead.Text("dead.0.state"), "DEAD");
  EXPECT_EQ(dead.Text("dead.0.name"), "bad");
  const Answer retried = client_->Post("/api/v1/jobs/" + id + "/retry", R"({"reason": "again", "by": "me"})");
  EXPECT_EQ(retried.status, 200) << retried.body;
  EXPECT_EQ(retried.Text("redriven"), "2");
  const Answer again = Until("/get_job_status?job_id=" + id, [](const Answer& a) {
    return a.Text("state") == "FAILED" && a.Text("task_list.0.attempt") == "2";
  });
  EXPECT_EQ(again.Text("task_list.0.attempts.1.outcome"), "failed");
  EXPECT_THAT(client_->Get("/api/v1/jobs/" + id + "/events").body, HasSubstr("tried again by me: again"));

  // One letter for each task, the last one; a page at a time gives the same.
  Until("/api/v1/dead", [](const Answer& a) {
    return a.Count("dead") == 2 && a.Text("dead.0.attempt") == "2" && a.Text("dead.1.attempt") == "2";
  });
  dead = client_->Get("/api/v1/dead?limit=1");
  EXPECT_EQ(client_->Get("/api/v1/dead?limit=1&cursor=" + dead.Text("next_cursor")).Count("dead"), 1U);
  const std::string task = dead.Text("dead.0.task_id");
  EXPECT_EQ(client_->Post("/api/v1/dead/redrive", R"({"ids": [")" + task + R"("]})").Text("redriven"), "1");
  Ended(id, "FAILED");
  EXPECT_EQ(client_->Post("/api/v1/dead/redrive", R"({"all": true})").Text("redriven"), "2");
  EXPECT_EQ(client_->Post("/api/v1/dead/redrive", R"({"ids": ["00000000000000000000000000/1"]})").status,
            409);
  // However often it was closed, a job is listed once.
  Ended(id, "FAILED");
  EXPECT_EQ(client_->Get("/api/v1/jobs").Count("jobs"), 1U);
}

TEST_F(ApiTest, ARunningJobIsCancelled) {
  const std::string id = Start(R"({"handler": "sleep", "payload": {"ms": 600000}})");
  Until("/get_job_status?job_id=" + id, "task_list.0.state", "RUNNING");
  EXPECT_EQ(client_
                ->Get("/api/v1/jobs?state=RUNNING&worker=" +
                      client_->Get("/api/v1/jobs/" + id).Text("task_list.0.worker"))
                .Count("jobs"),
            1U);
  const Answer cancelled = client_->Post("/api/v1/jobs/" + id + "/cancel", R"({"reason": "wrong day"})");
  EXPECT_EQ(cancelled.status, 200) << cancelled.body;
  EXPECT_EQ(cancelled.Text("state"), "CANCELLED");
  EXPECT_EQ(client_->Get("/get_job_status?job_id=" + id).Text("reason"), "wrong day");
  const Answer refused = client_->Post("/api/v1/jobs/" + id + "/cancel", "{}");
  EXPECT_EQ(refused.status, 409);
  EXPECT_EQ(refused.Text("detail"), "refused: the job has ended");
  EXPECT_EQ(client_->Post("/api/v1/jobs/" + id + "/retry", "{}").status, 409);
}

TEST_F(ApiTest, WorkersArePausedDrainedAndResumed) {
  Until("/api/v1/workers", [](const Answer& answer) {
    return answer.Count("workers") == 3 && answer.Text("workers.2.heartbeat_age_seconds") != "null";
  });
  const std::string dtf02 = "/api/v1/workers/DTF-02";
  EXPECT_EQ(client_->Get(dtf02).Text("state"), "UP");
  EXPECT_EQ(client_->Post(dtf02 + "/pause", R"({"reason": "noisy", "by": "ops"})").Text("state"), "PAUSED");
  EXPECT_EQ(client_->Get(dtf02).Text("reason"), "noisy");
  EXPECT_EQ(client_->Get("/api/v1/workers?state=PAUSED").Count("workers"), 1U);
  EXPECT_EQ(client_->Post(dtf02 + "/drain", "{}").Text("state"), "DRAINING");
  Until(dtf02, "drained", "true");
  Ended(Start(R"({"handler": "noop", "data_sources": ["1", "2", "3", "4", "5", "6"]})"), "SUCCEEDED");
  EXPECT_EQ(client_->Get("/api/v1/jobs?worker=DTF-02").Count("jobs"), 0U);
  EXPECT_EQ(client_->Post(dtf02 + "/resume", "{}").Text("state"), "UP");
  const Answer unknown = client_->Post("/api/v1/workers/DTF-2/pause", "{}");
  EXPECT_EQ(unknown.status, 404);
  EXPECT_THAT(unknown.body, HasSubstr("did you mean DTF-0"));
}

TEST_F(ApiTest, ChangesAreStreamedAndTheStreamIsResumed) {
  std::string id;
  Client listener("http://" + fleet_->api_address()->ToString());
  const std::string first = listener.Stream("/api/v1/events", "", [&](const std::string& text) {
    if (id.empty() && text.find("event: hello") != std::string::npos) id = Start(R"({"handler": "noop"})");
    return text.find("event: job_closed") != std::string::npos;
  });
  EXPECT_THAT(first, HasSubstr("event: job_submitted\ndata: {\"type\":\"job_submitted\""));
  EXPECT_THAT(first, HasSubstr("\"task_id\":\"" + id + "/1\",\"state\":\"RUNNING\""));
  const size_t at = first.find("id: ") + 4;
  const std::string hello = first.substr(at, first.find('\n', at) - at);
  const std::string resumed = listener.Stream("/api/v1/events", hello, [](const std::string& text) {
    return text.find("event: job_closed") != std::string::npos;
  });
  EXPECT_THAT(resumed, HasSubstr("event: job_submitted"));
  EXPECT_THAT(resumed, ::testing::Not(HasSubstr("resync")));
  const std::string late = listener.Stream("/api/v1/events", "17", [](const std::string& text) {
    return text.find("data: ") != std::string::npos;
  });
  EXPECT_THAT(late, HasSubstr("event: resync"));
}

TEST_F(ApiTest, ListsArePagedAndFiltered) {
  for (int i = 0; i < 7; i++)
    Ended(Start(R"({"handler": "noop", "name": "n)" + std::to_string(i) + R"("})"), "SUCCEEDED");
  const std::string open =
      Start(R"({"handler": "noop", "name": "later", "not_before": "2999-01-01T00:00:00Z"})");
  std::vector<std::string> names;
  std::string cursor;
  do {
    const Answer page = client_->Get("/api/v1/jobs?limit=3" + (cursor.empty() ? "" : "&cursor=" + cursor));
    for (size_t i = 0; i < page.Count("jobs"); i++)
      names.push_back(page.Text("jobs." + std::to_string(i) + ".name"));
    cursor = page.Text("next_cursor");
  } while (cursor != "null" && names.size() < 100);
  EXPECT_THAT(names, ::testing::ElementsAre("later", "n6", "n5", "n4", "n3", "n2", "n1", "n0"));
  EXPECT_EQ(client_->Get("/api/v1/jobs?state=PENDING").Count("jobs"), 1U);
  EXPECT_EQ(client_->Get("/api/v1/jobs?state=SUCCEEDED&name=n3").Count("jobs"), 1U);
  EXPECT_EQ(client_->Get("/api/v1/jobs?name=n%2A").Count("jobs"), 7U);
  EXPECT_EQ(client_->Get("/api/v1/jobs?since=2999-01-01").Count("jobs"), 0U);
  EXPECT_THAT(
      Until("/api/v1/jobs/" + open, [](const Answer& a) { return a.Text("task_list.0.waits_for") != "null"; })
          .Text("task_list.0.waits_for"),
      HasSubstr("due"));
}

TEST_F(ApiTest, AHundredThousandTasksInOneCall) {
  std::string definition = R"({"handler": "noop", "not_before": "2999-01-01T00:00:00Z", "data_sources": [)";
  for (int i = 0; i < 100'000; i++) definition += (i == 0 ? "\"s" : ",\"s") + std::to_string(i) + "\"";
  const std::string id = Start(definition + "]}");
  const Answer job = client_->Get("/api/v1/jobs/" + id + "?limit=1000");
  EXPECT_EQ(job.Text("tasks.total"), "100000");
  EXPECT_EQ(job.Count("task_list"), 1000U);
  EXPECT_EQ(client_->Get("/api/v1/jobs/" + id + "?limit=1&cursor=100000").Text("task_list.0.data_source"),
            "s99999");
  EXPECT_EQ(client_->Post("/api/v1/jobs/" + id + "/cancel", "{}").Text("state"), "CANCELLED");
}

TEST_F(ApiTest, BadInputIsRefusedWithTheReason) {
  const struct {
    const char* method;
    const char* target;
    const char* body;
    long status;
    const char* says;
  } rows[] = {
      {"POST", "/start_job", "{", 400, "mistakes"},
      {"POST", "/start_job", R"({"handler": "nop"})", 400, "noop"},
      {"POST", "/start_job", R"({"handler": "noop", "fases": []})", 400, "fases: an unknown field"},
      {"POST", "/get_task", "{}", 501, "not in this release"},
      {"POST", "/update_task_progress", "{}", 501, "not in this release"},
      {"POST", "/report_heartbeat", "{}", 501, "not in this release"},
      {"GET", "/get_job_status", "", 400, "job_id"},
      {"GET", "/get_job_status?job_id=nonsense", "", 404, "nonsense"},
      {"GET", "/api/v1/jobs/00000000000000000000000001", "", 404, "there is no job"},
      {"GET", "/api/v1/jobs/00000000000000000000000001/events", "", 404, "there is no job"},
      {"GET", "/api/v1/jobs?state=DONE", "", 400, "SUCCEEDED"},
      {"GET", "/api/v1/jobs?stat=FAILED", "", 400, "did you mean state"},
      {"GET", "/api/v1/jobs?limit=0", "", 400, "limit"},
      {"GET", "/api/v1/jobs?cursor=x", "", 400, "cursor"},
      {"GET", "/api/v1/jobs?since=yesterday", "", 400, "since"},
      {"GET", "/api/v1/dead?cursor=-1", "", 400, "cursor"},
      {"GET", "/api/v1/dead?state=dead", "", 400, "state"},
      {"GET", "/api/v1/workers?state=up", "", 400, "UP"},
      {"GET", "/api/v1/workers/DTF-99", "", 404, "DTF-"},
      {"POST", "/api/v1/jobs/00000000000000000000000001/cancel", "{}", 404, "there is no job"},
      {"POST", "/api/v1/jobs/00000000000000000000000001/retry", "{}", 404, "there is no job"},
      {"POST", "/api/v1/jobs/00000000000000000000000001/cancel", R"({"why": "x"})", 400, "why"},
      {"POST", "/api/v1/workers/DTF-01/pause", "[]", 400, "JSON object"},
      {"POST", "/api/v1/dead/redrive", "{}", 400, "ids"},
      {"POST", "/api/v1/dead/redrive", R"({"ids": ["x"]})", 400, "x"},
      {"GET", "/api/v1/nothing", "", 404, ""},
  };
  for (const auto& row : rows) {
    const Answer answer = std::string_view(row.method) == "GET" ? client_->Get(row.target)
                                                                : client_->Post(row.target, row.body);
    EXPECT_EQ(answer.status, row.status) << row.target << " " << row.body << "\n" << answer.body;
    EXPECT_EQ(answer.Text("status"), std::to_string(row.status)) << row.target;
    EXPECT_THAT(answer.body, HasSubstr(row.says)) << row.target;
  }
}

TEST_F(ApiTest, MachinesSeeHealthMetricsAndVersion) {
  EXPECT_EQ(client_->Get("/healthz").status, 200);
  EXPECT_EQ(Until("/readyz", "ok", "true").status, 200);
  EXPECT_NE(client_->Get("/version").Text("version"), "(nothing)");
  Ended(Start(R"({"handler": "noop", "data_sources": ["1", "2", "3"]})"), "SUCCEEDED");
  EXPECT_EQ(client_->Get("/api/v1/summary").Text("tasks.ended_since_start.SUCCEEDED"), "3");
  EXPECT_EQ(client_->Get("/api/v1/alerts").Count("alerts"), 0U);
  EXPECT_EQ(client_->Get("/api/v1/lanes?limit=1000").Count("lanes"), 64U);
  Client scraper("http://" + fleet_->metrics_address()->ToString());
  const std::string metrics = scraper.Get("/metrics").body;
  for (const char* line :
       {"laneway_jobs_total{state=\"SUCCEEDED\"} 1\n", "laneway_tasks_total{state=\"SUCCEEDED\"} 3\n",
        "laneway_task_attempts_total{outcome=\"succeeded\"} 3\n", "laneway_tasks_pending 0\n",
        "laneway_worker_up{worker=\"DTF-01\"} 1\n", "laneway_worker_capacity{worker=\"DTF-03\"} 8\n",
        "laneway_task_duration_seconds_count 3\n", "laneway_dispatch_latency_seconds_count 3\n",
        "laneway_dispatcher_active 1\n", "laneway_zone_files{place=\"incoming\"} 0\n",
        "laneway_fold_lag_records", "laneway_log_append_seconds_count",
        "laneway_lane_backlog{lane=\"0\",worker=\"DTF-01\"} 0\n"}) {
    EXPECT_TRUE(metrics.find(line) != std::string::npos) << line;
  }
  EXPECT_EQ(client_->Get("/metrics").status, 200);
  EXPECT_EQ(scraper.Get("/api/v1/jobs").status, 404);
  if (std::system("command -v promtool >/dev/null") != 0) GTEST_SKIP() << "promtool is not installed";
  const std::string file = folder_.path() + "/metrics.txt";
  std::ofstream(file) << metrics;
  EXPECT_EQ(std::system(("promtool check metrics < " + file + " >&2").c_str()), 0);
}

TEST_F(ApiTest, AnAddressThatIsTakenIsSaid) {
  testing::TempFolder other;
  v1::Config config = fleet_->config();
  config.mutable_zone()->set_path(other.path() + "/zone");
  config.mutable_log()->set_data(other.path() + "/data");
  config.mutable_api()->set_listen(fleet_->api_address()->ToString());
  node::NodeOptions options;
  options.config = config;
  options.workers.emplace_back("DTF-01");
  const auto second = node::Node::Start(std::move(options));
  ASSERT_FALSE(second.ok());
  EXPECT_TRUE(absl::IsAlreadyExists(second.status()));
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("api.listen"));
}

}  // namespace
}  // namespace laneway
