// markdown.h: a report as Markdown: the same tables as everywhere, charts as bars of text.
//
// Role:       pure core.
// Invariants: no text of others is read as markup, HTML or a link, and none breaks out of its cell.
// Threads:    functions.
#pragma once

#include <string>
#include <string_view>

#include "report/document.h"

namespace laneway::report {

std::string ToMarkdown(const Document& document);
std::string EscapeMarkdown(std::string_view text);

}  // namespace laneway::report
