#include "cli/version_text.h"

#include <curl/curlver.h>
#include <google/protobuf/stubs/common.h>
#include <openssl/crypto.h>
#include <rocksdb/version.h>
#include <spdlog/version.h>

#include <boost/version.hpp>

#include "ops/version.h"

namespace laneway::cli {

std::string VersionText() {
  const auto dotted = [](int a, int b, int c) {
    return std::to_string(a) + "." + std::to_string(b) + "." + std::to_string(c);
  };
  std::string out = "laneway " + std::string(ops::Version()) + " (commit " + std::string(ops::Commit()) +
                    ", " + std::string(ops::BuildType()) + ")\n";
  out += "rocksdb " + dotted(ROCKSDB_MAJOR, ROCKSDB_MINOR, ROCKSDB_PATCH) + "\n";
  out += "protobuf " +
         dotted(GOOGLE_PROTOBUF_VERSION / 1'000'000, GOOGLE_PROTOBUF_VERSION / 1000 % 1000,
                GOOGLE_PROTOBUF_VERSION % 1000) +
         "\n";
  out += "boost " + dotted(BOOST_VERSION / 100'000, BOOST_VERSION / 100 % 1000, BOOST_VERSION % 100) + "\n";
  out += "openssl " + std::string(OpenSSL_version(OPENSSL_VERSION_STRING)) + "\n";
  out += "libcurl " LIBCURL_VERSION "\n";
  out += "spdlog " + dotted(SPDLOG_VER_MAJOR, SPDLOG_VER_MINOR, SPDLOG_VER_PATCH) + "\n";
  return out;
}

}  // namespace laneway::cli
