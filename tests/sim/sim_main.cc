// sim: simulated fleets from seeds. See README.md.
#include "sim/runner.h"

int main(int argc, char** argv) { return laneway::sim::Main(argc, argv); }
