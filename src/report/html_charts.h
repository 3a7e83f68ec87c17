// html_charts.h: charts as SVG within HTML.
//
// Role:       pure core. Shapes are stretched to the width there is; texts stand beside them, in HTML, and
//             keep their size.
// Threads:    functions.
#pragma once

#include <string>

#include "report/document.h"

namespace laneway::report {

// `id` is unique in the file.
std::string ChartHtml(const Chart& chart, const std::string& id);
std::string TableHtml(const Table& table);
std::string_view ToneClass(Tone tone);  // "", "good", …

}  // namespace laneway::report
