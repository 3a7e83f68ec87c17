// html.h: a report as one HTML file: no scripts, nothing fetched, light and dark, on paper and on a
// telephone.
//
// Role:       pure core. Charts are SVG; each has a title, a text for those who cannot see it, and its
//             figures as a table.
// Invariants: no text of others is read as markup; the file forbids scripts and fetching to itself.
// Threads:    functions.
#pragma once

#include <string>
#include <string_view>

#include "report/document.h"

namespace laneway::report {

std::string ToHtml(const Document& document);
std::string EscapeHtml(std::string_view text);

}  // namespace laneway::report
