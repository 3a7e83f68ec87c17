// version_text.h: the text of --version: version, commit, build and the libraries in use.
#pragma once

#include <string>

namespace laneway::cli {

std::string VersionText();

}  // namespace laneway::cli
