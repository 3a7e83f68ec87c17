// secret.h: a value that cannot be printed by accident.
//
// Role:       wraps tokens and passwords from the moment they are read.
// Invariants: (1) no stream operator, no conversion: whoever wants the value says Reveal, which is easy to
//             find; (2) comparing takes the same time however much of the value fits.
// Threads:    values.
#pragma once

#include <string>
#include <string_view>
#include <utility>

namespace laneway::ops {

template <class T>
class Secret {
 public:
  Secret() = default;
  explicit Secret(T value) : value_(std::move(value)) {}
  const T& Reveal() const { return value_; }
  bool empty() const { return value_.empty(); }

 private:
  T value_;
};

// Looks at every character, whether or not an earlier one differs.
inline bool EqualInConstantTime(std::string_view a, std::string_view b) {
  // The lengths are no secret; the loop runs over what the other side sent.
  unsigned difference = a.size() == b.size() ? 0 : 1;
  for (size_t i = 0; i < b.size(); i++) {
    const char known = a.empty() ? '\0' : a[i % a.size()];
    difference |= static_cast<unsigned char>(known) ^ static_cast<unsigned char>(b[i]);
  }
  return difference == 0;
}

}  // namespace laneway::ops
