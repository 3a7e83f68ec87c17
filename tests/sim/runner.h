// runner.h: runs seeds in forked processes, sums up, prints what failed and how to see it again.
#pragma once

namespace laneway::sim {

// The program `sim`.
int Main(int argc, char** argv);

}  // namespace laneway::sim
