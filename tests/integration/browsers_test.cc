// Browsers with a real keeper and a program that is stubborn in the browser's place.
#include "worker/browser/browsers.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <string>
#include <thread>

#include "support/temp_folder.h"

namespace laneway::worker {
namespace {

uint16_t FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
  close(fd);
  return ntohs(address.sin_port);
}

TEST(BrowsersTest, WhoIsInAHurryDoesNotWaitForABrowserThatDoesNotClose) {
  constexpr Millis kPatience{90'000};
  laneway::testing::TempFolder folder;
  const std::string runs = folder.path() + "/runs";
  ASSERT_EQ(mkfifo(runs.c_str(), 0600), 0);
  BrowserSpec spec;
  spec.worker = WorkerId("DTF-01");
  spec.limits.start_timeout = kPatience;
  spec.plan.profile = folder.path() + "/profile";
  spec.plan.port = FreePort();
  spec.plan.environment = {"PATH=/usr/bin:/bin"};
  spec.plan.grace = kPatience;
  spec.plan.argv = [runs]() -> absl::StatusOr<std::vector<std::string>> {
    return std::vector<std::string>{"/bin/bash", "-c",
                                    "trap '' TERM; echo yes > " + runs + "; while :; do sleep 1000; done"};
  };
  Browsers browsers(&ops::RealClock::Get(), {spec}, [](const WorkerId&, const BrowserNews&) {});
  browsers.Start();
  std::string word;
  std::ifstream(runs) >> word;
  ASSERT_EQ(word, "yes");
  const auto begun = std::chrono::steady_clock::now();
  std::thread stop([&] { browsers.Stop(kPatience); });
  browsers.Hurry();
  stop.join();
  EXPECT_LT(std::chrono::steady_clock::now() - begun, kPatience / 2);
}

}  // namespace
}  // namespace laneway::worker
