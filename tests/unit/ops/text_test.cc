#include "ops/text.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

#include "ops/json_writer.h"
#include "ops/secret.h"
#include "ops/strict_json.h"
#include "ops/units.h"

namespace laneway::ops {
namespace {

using namespace std::chrono_literals;

TEST(PrintableTest, NothingThatMovesACursorOrBreaksALineGetsThrough) {
  EXPECT_EQ(Printable("plain Grüße 日本"), "plain Grüße 日本");
  EXPECT_EQ(Printable("a\nb\r\t\x1b[31m\x7f"), "a\\nb\\r\\t\\x1B[31m\\x7F");
  EXPECT_EQ(Printable(std::string("\0", 1)), "\\x00");
  EXPECT_EQ(Printable("\xff\xc0\xaf"), "\\xFF\\xC0\\xAF");      // overlong '/'
  EXPECT_EQ(Printable("\xed\xa0\x80"), "\\xED\\xA0\\x80");      // surrogate
  EXPECT_EQ(Printable("a\u202Egnp.exe"), "a\\u{202E}gnp.exe");  // direction override
  EXPECT_EQ(Printable("\u0085\u2028"), "\\u{0085}\\u{2028}");   // other ends of lines
  EXPECT_EQ(Printable("\\n"), "\\\\n");                         // an escape cannot be faked
  EXPECT_EQ(Printable("abcdef", 3), "abc…");
  EXPECT_EQ(PrintableValue("a b"), "\"a b\"");
  EXPECT_EQ(PrintableValue("say \"hi\"=1"), "\"say \\\"hi\\\"=1\"");
  EXPECT_EQ(PrintableValue(""), "\"\"");
}

TEST(JsonWriterTest, WritesWhatStrictJsonReads) {
  JsonWriter out;
  out.BeginObject()
      .Field("a", 1)
      .Field("b", "x\n\"\xff")
      .Key("c")
      .BeginArray()
      .Value(true)
      .Value(1.5)
      .Null()
      .EndArray();
  out.Field("t", LogTime{1763705702123})
      .Field("big", UINT64_MAX)
      .Key("e")
      .BeginObject()
      .EndObject()
      .EndObject();
  EXPECT_EQ(out.text(), R"({"a":1,"b":"x\n\"\\xFF","c":[true,1.5,null],"t":"2025-11-21T06:15:02.123Z",)"
                        R"("big":18446744073709551615,"e":{}})");
  const ParsedJson parsed = ParseStrictJson(out.text());
  ASSERT_TRUE(parsed.readable);
  EXPECT_EQ(parsed.root.Find("b")->text, "x\n\"\\xFF");
  EXPECT_EQ(parsed.root.Find("big")->magnitude, UINT64_MAX);
}

TEST(TimeTest, FormatsAndParses) {
  EXPECT_EQ(FormatTime({0}), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(FormatTime({-1}), "1969-12-31T23:59:59.999Z");
  EXPECT_EQ(FormatTime({951782400000}), "2000-02-29T00:00:00.000Z");
  for (int64_t ms : {0LL, 1795241702123LL, 4102444799999LL, -62135596800000LL})
    EXPECT_EQ(ParseTime(FormatTime({ms})), LogTime{ms});
  EXPECT_EQ(ParseTime("2026-11-21T08:15:02+02:00"), ParseTime("2026-11-21T06:15:02Z"));
  EXPECT_EQ(ParseTime("2026-11-21"), ParseTime("2026-11-21T00:00:00Z"));
  for (const char* bad :
       {"", "2026", "2026-02-29", "2026-11-21T", "2026-11-21T06:15:02", "2026-11-21T06:15:02.Z", "2026-13-01",
        "2026-11-21T24:00:00Z", "2026-11-21T06:15:02Zx"}) {
    EXPECT_EQ(ParseTime(bad), std::nullopt) << bad;
  }
}

TEST(UnitsTest, Durations) {
  EXPECT_EQ(ParseDuration("30s"), 30s);
  EXPECT_EQ(ParseDuration("1h30m"), 90min);
  EXPECT_EQ(ParseDuration("250ms"), 250ms);
  EXPECT_EQ(ParseDuration("1d"), 24h);
  EXPECT_EQ(ParseDuration("0s"), 0ms);
  for (const char* bad : {"", "30", "s", "1m1h", "1s1s", "-1s", "1.5s", "30 s", "30S", "01s",
                          "99999999999999999999s", "9223372036854775807d"}) {
    EXPECT_EQ(ParseDuration(bad), std::nullopt) << bad;
  }
  EXPECT_EQ(FormatDuration(90min), "1h30m");
  EXPECT_EQ(FormatDuration(24h), "24h");
  EXPECT_EQ(FormatDuration(1001ms), "1s1ms");
  EXPECT_EQ(FormatDuration(0ms), "0s");
}

TEST(UnitsTest, SizesRatesAddressesAndPatterns) {
  EXPECT_EQ(ParseSize("64MiB"), 64u << 20);
  EXPECT_EQ(FormatSize(64u << 20), "64MiB");
  EXPECT_EQ(FormatSize(1025), "1025B");
  for (const char* bad : {"64", "64MB", "MiB", "1.5GiB", "99999999999TiB"})
    EXPECT_EQ(ParseSize(bad), std::nullopt) << bad;
  EXPECT_EQ(ParseRate("100/m"), (Rate{100, 60s}));
  for (const char* bad : {"100", "0/s", "100/ms", "100/x", "/m"})
    EXPECT_EQ(ParseRate(bad), std::nullopt) << bad;
  EXPECT_TRUE(ParseListen("127.0.0.1:3000")->Loopback());
  EXPECT_TRUE(ParseListen("[::1]:0")->Loopback());
  EXPECT_FALSE(ParseListen("0.0.0.0:3000")->Loopback());
  EXPECT_EQ(ParseListen("[::]:80")->ToString(), "[::]:80");
  for (const char* bad : {"", "3000", ":3000", "::1:3000", "example.org:80", "127.0.0.1:65536", "127.0.0.1:"})
    EXPECT_FALSE(ParseListen(bad)) << bad;
  EXPECT_EQ(FillWorkerPattern("DTF-{n:02}", 3), "DTF-03");
  EXPECT_EQ(FillWorkerPattern("w{n}x", 12), "w12x");
  for (const char* bad : {"DTF", "{n}{n}", "{m}", "{n:2}", "{n:00}", "}{n"})
    EXPECT_EQ(FillWorkerPattern(bad, 1), std::nullopt) << bad;
}

TEST(NearestTest, FindsWhatWasMeantAndKeepsQuietElse) {
  const std::array<std::string, 4> names = {"max_attempts", "timeout", "capacity", "exec"};
  EXPECT_EQ(Nearest("maxAttempts", names), "max_attempts");
  EXPECT_EQ(Nearest("tiemout", names), "timeout");
  EXPECT_EQ(Nearest("completely", names), "");
  EXPECT_EQ(Nearest("", names), "");
}

TEST(SecretTest, ComparesWholeValues) {
  EXPECT_TRUE(EqualInConstantTime("abc", "abc"));
  EXPECT_FALSE(EqualInConstantTime("abc", "abd"));
  EXPECT_FALSE(EqualInConstantTime("abc", "abcabc"));
  EXPECT_FALSE(EqualInConstantTime("", "a"));
  EXPECT_TRUE(EqualInConstantTime("", ""));
}

TEST(StrictJsonTest, KnowsWhereThingsStand) {
  const std::string text = "{ \"a\" : [ 1 , -2.5e1, \"x\" ],\n\"b\":{\"c\":12}}";
  const ParsedJson parsed = ParseStrictJson(text);
  ASSERT_TRUE(parsed.readable);
  const auto slice = [&](const JsonValue& value) {
    return text.substr(value.begin, value.end - value.begin);
  };
  const JsonValue& a = *parsed.root.Find("a");
  EXPECT_EQ(slice(a), "[ 1 , -2.5e1, \"x\" ]");
  EXPECT_EQ(slice(a.items[0]), "1");
  EXPECT_EQ(slice(a.items[1]), "-2.5e1");
  EXPECT_EQ(slice(a.items[2]), "\"x\"");
  EXPECT_EQ(slice(*parsed.root.Find("b")), "{\"c\":12}");
  EXPECT_EQ(slice(*parsed.root.Find("b")->Find("c")), "12");
  EXPECT_EQ(slice(parsed.root), text);
  EXPECT_EQ(PositionOf(text, parsed.root.members[1].key_begin).line, 2u);
}

TEST(StrictJsonTest, ReportsEveryDuplicateAndKeepsTheFirst) {
  const ParsedJson parsed =
      ParseStrictJson(R"({"a":1,"a":{"x":[1,{"y":2,"y":3}]},"b":[{"c":1,"c":2}],"a":3})");
  ASSERT_TRUE(parsed.readable);
  ASSERT_EQ(parsed.problems.size(), 4u);
  EXPECT_EQ(parsed.problems[2].path, "b.[0].c");
  EXPECT_EQ(parsed.root.Find("a")->magnitude, 1u);
}

TEST(StrictJsonTest, Bounds) {
  EXPECT_FALSE(ParseStrictJson(std::string(100'000, '[')).readable);
  EXPECT_FALSE(ParseStrictJson("[1,2,3,4]", {.values_max = 4}).readable);
  EXPECT_TRUE(ParseStrictJson("[1,2,3,4]", {.values_max = 5}).readable);
  EXPECT_FALSE(ParseStrictJson("[1,2]", {.bytes_max = 4}).readable);
  for (const char* bad : {"", "nul", "[1,]", "{\"a\":1,}", "NaN", "1 2", "// x\n1", "'a'", "01", "[1e999]",
                          "\"\\u12\"", "\"\t\""}) {
    const ParsedJson parsed = ParseStrictJson(bad);
    EXPECT_FALSE(parsed.readable) << bad;
    EXPECT_EQ(parsed.problems.size(), 1u) << bad;
  }
}

}  // namespace
}  // namespace laneway::ops
