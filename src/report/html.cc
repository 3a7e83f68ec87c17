#include "report/html.h"

#include "laneway_report_style.h"
#include "ops/text.h"
#include "report/html_charts.h"

namespace laneway::report {
namespace {

std::string TileHtml(const Tile& tile) {
  return "<div class=\"tile " + std::string(ToneClass(tile.tone)) + "\"><dt>" + EscapeHtml(tile.label) +
         "</dt><dd class=\"value\">" + EscapeHtml(tile.value) + "</dd><dd class=\"note\">" +
         EscapeHtml(tile.note) + "</dd></div>";
}

}  // namespace

std::string EscapeHtml(std::string_view text) {
  std::string out;
  for (const char c : ops::Printable(text)) {
    switch (c) {
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '&':
        out += "&amp;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string ToHtml(const Document& document) {
  std::string out =
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
      "'unsafe-inline'\">"
      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><meta name=\"generator\" "
      "content=\"laneway report\"><title>" +
      EscapeHtml(document.title) + "</title><style>" + std::string(kReportStyle) +
      "</style></head>\n<body><main><header><h1>" + EscapeHtml(document.title) + "</h1><p class=\"sub\">" +
      EscapeHtml(document.subtitle) + "</p><p class=\"verdict\">" + EscapeHtml(document.verdict) +
      "</p></header>\n<dl class=\"tiles\">";
  for (const Tile& tile : document.tiles) out += TileHtml(tile);
  out += "</dl>\n";
  int charts = 0;
  for (const Section& section : document.sections) {
    out += "<section><h2>" + EscapeHtml(section.heading) + "</h2>\n";
    for (const std::string& paragraph : section.paragraphs) out += "<p>" + EscapeHtml(paragraph) + "</p>\n";
    for (const Chart& chart : section.charts) out += ChartHtml(chart, "c" + std::to_string(charts++)) + "\n";
    for (const Table& table : section.tables) out += TableHtml(table) + "\n";
    out += "</section>\n";
  }
  out += "<section><h2>About these figures</h2><ul class=\"notes\">";
  for (const std::string& note : document.notes) out += "<li>" + EscapeHtml(note) + "</li>";
  return out + "</ul></section>\n<footer>" + EscapeHtml(document.footer) + "</footer></main></body></html>\n";
}

}  // namespace laneway::report
