// document.h: a report as headings, tables and charts, before anybody decided how it is written.
//
// Role:       pure data. All texts are plain, and may hold whatever a file's name can: who writes them
//             escapes them.
#pragma once

#include <string>
#include <vector>

#include "fleet/log_time.h"

namespace laneway::report {

enum class Tone : uint8_t { kPlain, kGood, kWarning, kBad };

// One figure, large.
struct Tile {
  std::string label;
  std::string value;
  std::string note;
  Tone tone = Tone::kPlain;
};

struct Column {
  std::string header;
  bool number = false;  // right-aligned
};

struct Table {
  std::string caption;
  std::vector<Column> columns;
  std::vector<std::vector<std::string>> rows;
  std::vector<double> bars;  // one a row, 0 to 1, or none
};

struct Chart {
  enum class Kind : uint8_t {
    kColumns,  // series on top of each other
    kLines,    // series beside each other, as steps
    kStrips,   // a row each, darker where there is more
    kBars,     // a bar each, with a mark for what was to be expected
  };
  struct Series {
    std::string name;
    std::vector<double> values;
    Tone tone = Tone::kPlain;  // plain: a colour of its own
  };
  struct Mark {
    double at = 0;  // 0 to 1, from left to right
    std::string text;
    Tone tone = Tone::kPlain;
  };
  struct Band {
    double from = 0;
    double to = 0;
    std::string text;
    Tone tone = Tone::kPlain;
  };
  struct Strip {
    std::string name;
    std::vector<double> shades;  // 0 to 1
    std::vector<Band> bands;
  };
  struct Bar {
    std::string name;
    std::string text;
    double value = 0;     // 0 to 1
    double expected = 0;  // 0 to 1; 0: none
  };
  Kind kind = Kind::kColumns;
  std::string title;
  std::string about;               // what it shows, for those who cannot see it
  std::vector<std::string> slots;  // a text for each value's place: "06:15:02"
  std::vector<std::string> ticks;  // five, evenly spaced
  std::vector<Series> series;
  std::vector<Mark> marks;
  std::vector<Strip> strips;
  std::vector<Bar> bars;
  std::vector<std::pair<std::string, Tone>> legend;  // of strips and bars
  Table figures;                                     // the same, as a table
};

struct Section {
  std::string heading;
  std::vector<std::string> paragraphs;
  std::vector<Chart> charts;
  std::vector<Table> tables;
};

struct Document {
  std::string title;
  std::string subtitle;
  std::string verdict;  // one sentence
  std::vector<Tile> tiles;
  std::vector<Section> sections;
  std::vector<std::string> notes;
  std::string footer;
};

}  // namespace laneway::report
