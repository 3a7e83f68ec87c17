#include "worker/executor/directives.h"

#include <gtest/gtest.h>

namespace laneway::worker {
namespace {

TEST(DirectivesTest, Lines) {
  const struct {
    std::string line;
    std::optional<Directive> want;
    const char* why;
  } rows[] = {
      {"::progress 40 half way", Progress{40, "half way"}, "with a text"},
      {"::progress 40", Progress{40, ""}, "without"},
      {"::progress 0 ", Progress{0, ""}, "an empty text"},
      {"::progress 100 done\r", Progress{100, "done"}, "a line from Windows"},
      {"::progress 7 \x1b[31mred\x1b[0m \xff", Progress{7, "red \xef\xbf\xbd"}, "made fit for a record"},
      {"::progress 101", std::nullopt, "too much"},
      {"::progress -1", std::nullopt, "too little"},
      {"::progress 4.5", std::nullopt, "not whole"},
      {"::progress 99999999999999999999", std::nullopt, "too large for its type"},
      {"::progress", std::nullopt, "nothing given"},
      {"::progress  40", std::nullopt, "two spaces"},
      {"::checkpoint page 7", Checkpoint{"page 7"}, "all of the rest"},
      {"::checkpoint ", Checkpoint{""}, "empty: forget it"},
      {std::string("::checkpoint a\0b", 16), Checkpoint{std::string("a\0b", 3)}, "any bytes"},
      {"::checkpoint", std::nullopt, "nothing given"},
      {R"(::output {"rows": 3})", Output{R"({"rows": 3})"}, "as it was written"},
      {"::output 3", Output{"3"}, "any JSON"},
      {"::output {rows: 3}", std::nullopt, "not JSON"},
      {"::output {} {}", std::nullopt, "two"},
      {"::output \"\xff\"", std::nullopt, "not UTF-8"},
      {"::output " + std::string(65, '[') + std::string(65, ']'), std::nullopt, "too deep"},
      {"::records 12", Records{12}, "a number"},
      {"::records 18446744073709551615", Records{UINT64_MAX}, "the largest"},
      {"::records 18446744073709551616", std::nullopt, "one more"},
      {"::records 12 ", std::nullopt, "something after it"},
      {"::record 12", std::nullopt, "no such word"},
      {" ::records 12", std::nullopt, "not at the beginning"},
      {":: records 12", std::nullopt, "no word"},
      {"", std::nullopt, "empty"},
      {"::checkpoint " + std::string(kLineBytesMax, 'x'), std::nullopt, "too long"},
  };
  for (const auto& row : rows)
    EXPECT_EQ(ParseDirective(row.line), row.want) << row.why << ": " << row.line.substr(0, 80);
}

TEST(DirectivesTest, LaterValuesOfAKindWin) {
  Reported report;
  DirectiveScanner scanner;
  EXPECT_TRUE(scanner.Feed("::progress 1 a\nnoise\n::records 2\n::progress 3\n::checkpoint x\n", &report));
  EXPECT_EQ(report.percent, 3u);
  EXPECT_EQ(report.message, "");
  EXPECT_EQ(report.records, 2u);
  EXPECT_EQ(report.checkpoint, "x");
  EXPECT_EQ(report.output, std::nullopt);
}

TEST(DirectivesTest, HowTheBytesAreCutMakesNoDifference) {
  const std::string text = "x\n::records 1\n" + std::string(3 * kLineBytesMax, ':') +
                           "::records 2\n\n:\n::\n::records 30\r\n::checkpoint " +
                           std::string(kLineBytesMax - 13, 'c') + "\n::checkpoint " +
                           std::string(kLineBytesMax - 12, 'd') + "\n::progress 9 end";
  for (const size_t piece :
       {size_t{1}, size_t{2}, size_t{3}, size_t{7}, size_t{4096}, size_t{65536}, text.size()}) {
    DirectiveScanner scanner;
    Reported report;
    for (size_t at = 0; at < text.size(); at += piece)
      scanner.Feed(std::string_view(text).substr(at, piece), &report);
    EXPECT_EQ(report.records, 30u) << piece;
    EXPECT_EQ(report.checkpoint, std::string(kLineBytesMax - 13, 'c')) << piece;
    EXPECT_EQ(report.percent, std::nullopt) << "its line is not complete";
    EXPECT_TRUE(scanner.Finish(&report));
    EXPECT_EQ(report.percent, 9u) << piece;
    EXPECT_FALSE(scanner.Finish(&report));
  }
}

}  // namespace
}  // namespace laneway::worker
