// crc32c.h: the checksum of every group of records (Castagnoli polynomial, RFC 3720 appendix B.4).
//
// Role:       pure function; uses the processor's instruction where there is one.
// Threads:    any.
#pragma once

#include <cstdint>
#include <string_view>

namespace laneway::log {

// The CRC32C of `bytes`, continued from `crc` (0 to begin): Crc32c(b, Crc32c(a)) == Crc32c(a + b).
uint32_t Crc32c(std::string_view bytes, uint32_t crc = 0);

// The same by table, on any processor. For the test that compares the two.
uint32_t Crc32cPortable(std::string_view bytes, uint32_t crc = 0);

}  // namespace laneway::log
