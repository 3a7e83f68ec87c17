#include "ops/random_ids.h"

#include <openssl/evp.h>
#include <sys/random.h>

#include <cerrno>
#include <mutex>
#include <string>

#include "ops/check.h"
#include "ops/clock.h"

namespace laneway::ops {
namespace {

struct Bits {
  uint64_t hi = 0;
  uint64_t lo = 0;
};

constexpr uint64_t kTimeMask = (uint64_t{1} << 48) - 1;

class UlidSource {
 public:
  Bits Next() {
    const uint64_t ms = static_cast<uint64_t>(RealClock::Get().Wall().ms) & kTimeMask;
    std::lock_guard lock(mutex_);
    if (ms > last_.hi >> 16) {
      uint16_t high = 0;
      RandomBytes(&high, sizeof high);
      RandomBytes(&last_.lo, sizeof last_.lo);
      last_.hi = ms << 16 | high;
    } else if (++last_.lo == 0) {
      last_.hi++;  // carries into the time when 2^80 ids were made within a millisecond: still growing
    }
    return last_;
  }

 private:
  std::mutex mutex_;
  Bits last_;
};

template <class Id>
Id NewId() {
  static UlidSource source;
  const Bits bits = source.Next();
  return {bits.hi, bits.lo};
}

// SHA-256 with one context per thread: fetching the algorithm and making a context cost more than hashing a
// short key.
class Sha256 {
 public:
  Sha256() : algorithm_(EVP_MD_fetch(nullptr, "SHA256", nullptr)), context_(EVP_MD_CTX_new()) {
    LANEWAY_CHECK(algorithm_ != nullptr && context_ != nullptr, "OpenSSL has no SHA-256");
  }
  ~Sha256() {
    EVP_MD_CTX_free(context_);
    EVP_MD_free(algorithm_);
  }
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  // The first 128 bits.
  Bits Hash(std::string_view bytes) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    const bool ok = EVP_DigestInit_ex2(context_, algorithm_, nullptr) == 1 &&
                    EVP_DigestUpdate(context_, bytes.data(), bytes.size()) == 1 &&
                    EVP_DigestFinal_ex(context_, digest, &size) == 1 && size == 32;
    LANEWAY_CHECK(ok, "SHA-256 failed");
    Bits bits;
    for (int i = 0; i < 8; i++) bits.hi = bits.hi << 8 | digest[i];
    for (int i = 8; i < 16; i++) bits.lo = bits.lo << 8 | digest[i];
    return bits;
  }

 private:
  EVP_MD* algorithm_;
  EVP_MD_CTX* context_;
};

void PutNumber(std::string& out, uint64_t number) {
  for (int shift = 56; shift >= 0; shift -= 8) out.push_back(static_cast<char>(number >> shift));
}

void PutBytes(std::string& out, std::string_view bytes) {
  PutNumber(out, bytes.size());
  out.append(bytes);
}

JobId HashedId(const std::string& encoded) {
  thread_local Sha256 sha;
  const Bits bits = sha.Hash(encoded);
  return {bits.hi, bits.lo};
}

}  // namespace

void RandomBytes(void* out, size_t size) {
  auto* at = static_cast<unsigned char*>(out);
  while (size > 0) {
    const ssize_t got = getrandom(at, size, 0);
    if (got < 0 && errno == EINTR) continue;
    LANEWAY_CHECK(got > 0, "getrandom failed");
    at += got;
    size -= static_cast<size_t>(got);
  }
}

JobId NewJobId() { return NewId<JobId>(); }
IncarnationId NewIncarnationId() { return NewId<IncarnationId>(); }
StoreId NewStoreId() { return NewId<StoreId>(); }

JobId JobIdFromKey(std::string_view scope, std::string_view key) {
  std::string encoded;
  PutBytes(encoded, "laneway job key 1");
  PutBytes(encoded, scope);
  PutBytes(encoded, key);
  return HashedId(encoded);
}

JobId FileJobId(const FileArrival& arrival) {  // rule I1
  std::string encoded;
  PutBytes(encoded, "laneway file arrival 1");
  PutBytes(encoded, arrival.path);
  PutNumber(encoded, arrival.size);
  PutNumber(encoded, static_cast<uint64_t>(arrival.mtime_ns));
  PutNumber(encoded, arrival.inode);
  PutNumber(encoded, arrival.closed_count);
  return HashedId(encoded);
}

}  // namespace laneway::ops
