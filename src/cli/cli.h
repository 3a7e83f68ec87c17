// cli.h: the command line from the first word to the exit code.
#pragma once

namespace laneway::cli {

int Main(int argc, char** argv);

}  // namespace laneway::cli
