# Everything from Debian 12's packages; see tools/packages.txt.
find_package(Threads REQUIRED)
find_package(Protobuf REQUIRED)
find_package(absl REQUIRED)
find_package(RocksDB REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(spdlog REQUIRED)
find_package(prometheus-cpp REQUIRED)
find_package(Boost 1.74 REQUIRED)
find_package(CURL REQUIRED)
find_package(CLI11 REQUIRED)
if(LANEWAY_TESTS)
  find_package(GTest REQUIRED)
endif()
# Debian's RocksDB package names its shared target so.
set(LANEWAY_ROCKSDB RocksDB::rocksdb-shared)
# The binary's allocator; without it the C library's serves, more slowly.
find_library(LANEWAY_JEMALLOC jemalloc)
