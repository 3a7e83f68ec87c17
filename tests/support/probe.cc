// probe.cc: cases that end in every way, for probe_test: the test of main.cc.
#include <gtest/gtest.h>

TEST(Probe, Passes) {}
TEST(Probe, Skips) { GTEST_SKIP() << "to see what happens"; }
TEST(Probe, Fails) { FAIL() << "on purpose"; }
