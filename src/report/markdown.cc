#include "report/markdown.h"

#include <algorithm>
#include <cmath>

#include "ops/text.h"

namespace laneway::report {
namespace {

constexpr int kBarColumns = 24;

std::string TextBar(double share) {
  constexpr std::string_view kEighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const auto eighths = static_cast<int>(std::lround(std::clamp(share, 0.0, 1.0) * kBarColumns * 8));
  std::string bar;
  for (int i = 0; i < eighths / 8; i++) bar += "█";
  return bar + std::string(kEighths[eighths % 8]);
}

bool IsWww(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c == 'w' || c == 'W'; });
}

void Write(std::string& out, const Table& table) {
  if (table.rows.empty()) return;
  if (!table.caption.empty()) out += "**" + EscapeMarkdown(table.caption) + "**\n\n";
  std::string header = "|";
  std::string rule = "|";
  for (const Column& column : table.columns) {
    header += " " + EscapeMarkdown(column.header) + " |";
    rule += column.number ? " ---: |" : " --- |";
  }
  out +=
      header + (table.bars.empty() ? "" : "  |") + "\n" + rule + (table.bars.empty() ? "" : " :--- |") + "\n";
  for (size_t i = 0; i < table.rows.size(); i++) {
    out += "|";
    for (const std::string& cell : table.rows[i]) out += " " + EscapeMarkdown(cell) + " |";
    if (i < table.bars.size()) out += " " + TextBar(table.bars[i]) + " |";
    out += "\n";
  }
  out += "\n";
}

void Write(std::string& out, const Chart& chart) {
  out += "### " + EscapeMarkdown(chart.title) + "\n\n";
  if (chart.kind == Chart::Kind::kBars) {
    Table table{"", {{""}, {"", true}}, {}, {}};
    for (const Chart::Bar& bar : chart.bars) {
      table.rows.push_back({bar.name, bar.text});
      table.bars.push_back(bar.value);
    }
    Write(out, table);
  } else {
    Write(out, chart.figures);
  }
}

}  // namespace

std::string EscapeMarkdown(std::string_view text) {
  std::string out;
  const std::string harmless = ops::Printable(text);
  for (size_t i = 0; i < harmless.size(); i++) {
    const char c = harmless[i];
    const std::string_view rest = std::string_view(harmless).substr(i);
    if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '&') {
      out += "&amp;";
    } else if (c == '@') {
      out += "&#64;";  // no mention, no mail address
    } else if (c == '$') {
      out += "&#36;";  // no formula
    } else if (rest.starts_with("://")) {
      out += "&#58;";  // no link
    } else if (c == '.' && i >= 3 && IsWww(std::string_view(harmless).substr(i - 3, 3))) {
      out += "&#46;";  // nor this one
    } else {
      if (std::string_view("\\`*_[]|~#!").find(c) != std::string_view::npos) out += '\\';
      out += c;
    }
  }
  return out;
}

std::string ToMarkdown(const Document& document) {
  std::string out = "# " + EscapeMarkdown(document.title) + "\n\n" + EscapeMarkdown(document.subtitle) +
                    "\n\n**" + EscapeMarkdown(document.verdict) + "**\n\n";
  Table tiles{"", {{""}, {"", true}, {""}}, {}, {}};
  for (const Tile& tile : document.tiles) tiles.rows.push_back({tile.label, tile.value, tile.note});
  Write(out, tiles);
  for (const Section& section : document.sections) {
    out += "## " + EscapeMarkdown(section.heading) + "\n\n";
    for (const std::string& paragraph : section.paragraphs) out += EscapeMarkdown(paragraph) + "\n\n";
    for (const Chart& chart : section.charts) {
      // What each worker did is in the table below it.
      if (chart.kind != Chart::Kind::kStrips) Write(out, chart);
    }
    for (const Table& table : section.tables) Write(out, table);
  }
  out += "## About these figures\n\n";
  for (const std::string& note : document.notes) out += "- " + EscapeMarkdown(note) + "\n";
  return out + "\n" + EscapeMarkdown(document.footer) + "\n";
}

}  // namespace laneway::report
