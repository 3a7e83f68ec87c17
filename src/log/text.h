// text.h: joins pieces of a message, reads numbers. Debian's Abseil has a string_view of its own: its
// functions take no std::string_view.
//
// Role:       pure functions.
#pragma once

#include <charconv>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>

namespace laneway::log {

template <class... Parts>
std::string Cat(const Parts&... parts) {
  std::string out;
  const auto add = [&out]<class Part>(const Part& part) {
    if constexpr (std::is_arithmetic_v<Part>) {
      out += std::to_string(part);
    } else if constexpr (requires { part.data(); }) {
      out.append(part.data(), part.size());
    } else {
      out += part;
    }
  };
  (add(parts), ...);
  return out;
}

// The whole text as a decimal number.
template <class Number>
bool ParseDecimal(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace laneway::log
