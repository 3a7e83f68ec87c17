#include "ops/loop.h"

#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <chrono>
#include <future>
#include <memory>
#include <thread>
#include <vector>

namespace laneway::ops {
namespace {

using namespace std::chrono_literals;

TEST(LoopTest, PostsOfOneThreadRunInOrderAndAllOfThem) {
  std::vector<std::vector<int>> seen(4);
  {
    Loop loop("order");
    loop.Start();
    std::vector<std::thread> threads;
    for (size_t t = 0; t < seen.size(); t++) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 20'000; i++) loop.Post([&seen, t, i] { seen[t].push_back(i); });
      });
    }
    for (auto& thread : threads) thread.join();
  }  // stops: what was accepted still runs
  for (const auto& list : seen) {
    ASSERT_EQ(list.size(), 20'000u);
    for (int i = 0; i < 20'000; i++) ASSERT_EQ(list[static_cast<size_t>(i)], i);
  }
}

TEST(LoopTest, AfterStopNothingIsAcceptedAndCallSaysSo) {
  Loop loop("stop");
  loop.Start();
  EXPECT_EQ(loop.Call([] { return 7; }), 7);
  EXPECT_TRUE(loop.Call([] {}));
  loop.Stop();
  loop.Join();
  EXPECT_FALSE(loop.Post([] {}));
  EXPECT_EQ(loop.Call([] { return 7; }), std::nullopt);
  EXPECT_FALSE(loop.Call([] {}));
}

TEST(LoopTest, BeforeStartPostsWaitAndCallSaysThatNobodyAnswers) {
  Loop loop("early");
  std::vector<int> ran;
  EXPECT_TRUE(loop.Post([&] { ran.push_back(1); }));
  EXPECT_EQ(loop.Call([&] { return ran.push_back(2), 2; }), std::nullopt);
  EXPECT_FALSE(loop.Call([&] { ran.push_back(3); }));
  EXPECT_EQ(loop.Depth(), 1u) << "what was refused runs neither now nor later";
  loop.Start();
  EXPECT_EQ(loop.Call([&] { return ran.size(); }), std::optional<size_t>(1));
}

TEST(LoopTest, CallOnTheLoopItselfRunsAtOnce) {
  Loop loop("nested");
  loop.Start();
  const auto result = loop.Call([&] { return loop.Call([&] { return loop.OnLoop(); }); });
  EXPECT_EQ(result, std::optional<bool>(true));
}

TEST(LoopTest, TryPostRefusesWhenTooMuchWaitsAndPostDoesNot) {
  Loop loop("bound", 10);
  std::promise<void> entered;
  std::promise<void> release;
  loop.Start();
  loop.Post([&] {
    entered.set_value();
    release.get_future().wait();
  });
  entered.get_future().wait();
  int ran = 0;
  for (int i = 0; i < 10; i++) EXPECT_TRUE(loop.TryPost([&] { ran++; }));
  EXPECT_FALSE(loop.TryPost([&] { ran += 100; }));
  EXPECT_TRUE(loop.Post([&] { ran++; }));
  EXPECT_EQ(loop.Depth(), 11u);
  release.set_value();
  EXPECT_EQ(loop.Call([&] { return ran; }), 11);
}

TEST(LoopTest, TimersFireInTheOrderOfTheirTimesAndCancelledOnesNever) {
  Loop loop("timers");
  std::vector<int> fired;
  std::promise<void> done;
  const auto now = std::chrono::steady_clock::now();
  loop.RunAt(now + 20ms, [&] { fired.push_back(3); });
  loop.RunAt(now + 5ms, [&] { fired.push_back(1); });
  const Loop::TimerId cancelled = loop.RunAt(now + 6ms, [&] { fired.push_back(99); });
  loop.RunAt(now + 5ms, [&] { fired.push_back(2); });  // the same time: in the order they were set
  loop.RunAt(now + 21ms, [&] { done.set_value(); });
  EXPECT_TRUE(loop.Cancel(cancelled));
  EXPECT_FALSE(loop.Cancel(cancelled));
  loop.Start();
  done.get_future().wait();
  loop.Stop();
  loop.Join();
  EXPECT_EQ(fired, (std::vector<int>{1, 2, 3}));
  EXPECT_GE(std::chrono::steady_clock::now() - now, 21ms);
}

TEST(LoopTest, ATimerThatSetsItselfAgainDoesNotStarvePosts) {
  Loop loop("again");
  std::function<void()> again = [&] { loop.RunAt(SteadyTime{}, [&] { again(); }); };
  loop.RunAt(SteadyTime{}, [&] { again(); });
  loop.Start();
  EXPECT_TRUE(loop.Call([] {}));
  loop.Stop();
  loop.Join();  // before `again` goes
}

TEST(LoopTest, WatchedDescriptorsAreServedWhilePostsFlood) {
  int pipe_fds[2];
  ASSERT_EQ(pipe(pipe_fds), 0);
  Loop loop("fds");
  std::promise<char> got;
  loop.Watch(pipe_fds[0], EPOLLIN, [&](uint32_t events) {
    EXPECT_TRUE(events & EPOLLIN);
    char c = 0;
    EXPECT_EQ(read(pipe_fds[0], &c, 1), 1);
    loop.Unwatch(pipe_fds[0]);
    got.set_value(c);
  });
  std::function<void()> flood = [&] { loop.Post([&] { flood(); }); };
  loop.Post([&] { flood(); });
  loop.Start();
  ASSERT_EQ(write(pipe_fds[1], "x", 1), 1);
  EXPECT_EQ(got.get_future().get(), 'x');
  loop.Stop();
  loop.Join();
  close(pipe_fds[0]);
  close(pipe_fds[1]);
}

TEST(LoopTest, WhatAPostHoldsIsFreedWhenItHasRun) {
  Loop loop("free");
  loop.Start();
  auto held = std::make_shared<int>(1);
  std::weak_ptr<int> weak = held;
  loop.Post([held = std::move(held)] {});
  EXPECT_EQ(loop.Call([&] { return weak.expired(); }), std::optional<bool>(true));
}

// Prints a figure; asserts only what cannot fail on a busy machine.
TEST(LoopTest, PostsAreCheap) {
  Loop loop("cheap", 8 << 20);
  loop.Start();
  constexpr int kPosts = 1'000'000;
  int64_t sum = 0;
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < kPosts; i++) loop.Post([&sum] { sum++; });
  EXPECT_EQ(loop.Call([&] { return sum; }), kPosts);
  const auto seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  RecordProperty("posts_per_second", static_cast<int>(kPosts / seconds));
  std::printf("posts: %.1f million a second\n", kPosts / seconds / 1e6);
}

}  // namespace
}  // namespace laneway::ops
