# Everything from Debian 12's packages (see tools/packages.txt), but for librdkafka, whose version there is too old.
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

# librdkafka, the system's or the one that tools/librdkafka built, as the target `rdkafka`.
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tools/librdkafka)
execute_process(COMMAND ${CMAKE_SOURCE_DIR}/tools/librdkafka --prefix
  OUTPUT_VARIABLE LANEWAY_RDKAFKA OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
if(LANEWAY_RDKAFKA STREQUAL "system")
  find_package(PkgConfig REQUIRED)
  pkg_check_modules(RDKAFKA REQUIRED IMPORTED_TARGET rdkafka)
  add_library(rdkafka ALIAS PkgConfig::RDKAFKA)
else()
  add_library(rdkafka STATIC IMPORTED)
  set_target_properties(rdkafka PROPERTIES
    IMPORTED_LOCATION ${LANEWAY_RDKAFKA}/lib/librdkafka.a
    INTERFACE_INCLUDE_DIRECTORIES ${LANEWAY_RDKAFKA}/include
    INTERFACE_LINK_LIBRARIES "OpenSSL::SSL;OpenSSL::Crypto;CURL::libcurl;z;zstd;lz4;Threads::Threads;${CMAKE_DL_LIBS};m")
endif()
