// text.h: makes what a script printed fit for records, logs and terminals.
//
// Role:       pure.
// Threads:    functions.
#pragma once

#include <string>
#include <string_view>

namespace laneway::worker {

// Valid UTF-8 without control characters but tab and newline: escape sequences of terminals go, carriage
// returns become newlines, broken bytes become U+FFFD.
std::string CleanText(std::string_view bytes);

// At most `max` bytes of valid UTF-8 from the beginning, or from the end, without cutting a character.
std::string_view HeadOf(std::string_view text, size_t max);
std::string_view TailOf(std::string_view text, size_t max);

// "SIGKILL"; "signal 99" for one without a name.
std::string SignalName(int signal);

}  // namespace laneway::worker
