#include "report/html_charts.h"

#include <algorithm>
#include <cmath>

#include "report/html.h"
#include "report/words.h"

namespace laneway::report {
namespace {

constexpr double kWidth = 1000;
constexpr double kHeight = 200;
constexpr size_t kColours = 9;  // the last one is that of "others"

std::string Px(double value) {
  std::string text = Decimal(value, 2);
  while (text.ends_with('0')) text.pop_back();
  if (text.ends_with('.')) text.pop_back();
  return text;
}

std::string ClassOf(const Chart::Series& series, size_t place) {
  if (series.name == "others") return "s" + std::to_string(kColours - 1);
  return "s" + std::to_string(place % (kColours - 1));
}

// The smallest of 1, 2, 4, 10, 20, 40, … that is not below: its half is a whole number, or it is 1.
double NiceTop(double most) {
  if (!(most > 1)) return 1;
  const double power = std::pow(10, std::floor(std::log10(most)));
  for (const double factor : {1.0, 2.0, 4.0, 6.0, 8.0, 10.0}) {
    if (power * factor >= most - 1e-9) return power * factor;
  }
  return power * 10;
}

std::string Swatch(const std::string& css, std::string_view name) {
  return "<li><i class=\"" + css + "\"></i>" + EscapeHtml(name) + "</li>";
}

std::string Legend(const Chart& chart) {
  std::string out = "<ul class=\"legend\">";
  for (size_t i = 0; i < chart.series.size(); i++)
    out += Swatch(ClassOf(chart.series[i], i), chart.series[i].name);
  for (const auto& [name, tone] : chart.legend)
    out += Swatch(tone == Tone::kPlain ? "s0" : std::string(ToneClass(tone)), name);
  const auto marked = [&](Tone tone) {
    return std::any_of(chart.marks.begin(), chart.marks.end(),
                       [tone](const auto& mark) { return mark.tone == tone; });
  };
  if (marked(Tone::kBad)) out += Swatch("bad line", "worker lost, or task died");
  if (marked(Tone::kWarning)) out += Swatch("warning line", "browser lost, or dispatcher changed");
  return out + "</ul>";
}

std::string SvgHead(const Chart& chart, const std::string& id, double height, const std::string& css) {
  return "<svg class=\"" + css + "\" viewBox=\"0 0 " + Px(kWidth) + " " + Px(height) +
         "\" preserveAspectRatio=\"none\" role=\"img\" aria-labelledby=\"" + id + "t " + id +
         "d\"><title id=\"" + id + "t\">" + EscapeHtml(chart.title) + "</title><desc id=\"" + id + "d\">" +
         EscapeHtml(chart.about) + "</desc>";
}

std::string Rect(double x, double y, double width, double height, const std::string& css,
                 const std::string& title, double opacity = 1) {
  if (width <= 0 || height <= 0) return "";
  std::string out = "<rect x=\"" + Px(x) + "\" y=\"" + Px(y) + "\" width=\"" + Px(width) + "\" height=\"" +
                    Px(height) + "\" class=\"" + css + "\"";
  if (opacity < 1) out += " opacity=\"" + Px(opacity) + "\"";
  return out + (title.empty() ? "/>" : "><title>" + EscapeHtml(title) + "</title></rect>");
}

std::string Grid() {
  std::string out;
  for (const double y : {0.0, kHeight / 2, kHeight})
    out +=
        "<line class=\"grid\" x1=\"0\" x2=\"" + Px(kWidth) + "\" y1=\"" + Px(y) + "\" y2=\"" + Px(y) + "\"/>";
  return out;
}

std::string Ticks(const Chart& chart) {
  std::string out = "<div class=\"ticks\" aria-hidden=\"true\">";
  for (const std::string& tick : chart.ticks) out += "<span>" + EscapeHtml(tick) + "</span>";
  return out + "</div>";
}

std::string Slot(const Chart& chart, size_t at) { return at < chart.slots.size() ? chart.slots[at] : ""; }

std::string Columns(const Chart& chart, double top) {
  std::string out;
  const size_t count = chart.slots.size();
  const double step = kWidth / static_cast<double>(std::max<size_t>(count, 1));
  const double gap = count > 60 ? step * 0.08 : step * 0.18;
  for (size_t at = 0; at < count; at++) {
    double y = kHeight;
    for (size_t i = 0; i < chart.series.size(); i++) {
      const double value = at < chart.series[i].values.size() ? chart.series[i].values[at] : 0;
      const double height = value / top * kHeight;
      y -= height;
      out +=
          Rect(static_cast<double>(at) * step + gap / 2, y, step - gap, height, ClassOf(chart.series[i], i),
               Slot(chart, at) + " · " + chart.series[i].name + ": " + Count(static_cast<uint64_t>(value)));
    }
  }
  return out;
}

std::string Lines(const Chart& chart, double top) {
  std::string out;
  const double step = kWidth / static_cast<double>(std::max<size_t>(chart.slots.size(), 1));
  for (size_t i = 0; i < chart.series.size(); i++) {
    std::string path;
    double x = 0;
    for (const double value : chart.series[i].values) {
      const std::string y = Px(kHeight - value / top * kHeight);
      path += (path.empty() ? "M0 " : "L" + Px(x) + " ") + y;
      x += step;
      path += "L" + Px(x) + " " + y;
    }
    if (path.empty()) continue;
    const std::string css = ClassOf(chart.series[i], i);
    if (i == 0)
      out += "<path class=\"fill " + css + "\" d=\"" + path + "L" + Px(x) + " " + Px(kHeight) + "L0 " +
             Px(kHeight) + "Z\"/>";
    out += "<path class=\"stroke " + css + "\" d=\"" + path + "\"><title>" +
           EscapeHtml(chart.series[i].name) + "</title></path>";
  }
  return out;
}

std::string Marks(const Chart& chart) {
  std::string out;
  for (const Chart::Mark& mark : chart.marks) {
    const std::string x = Px(mark.at * kWidth);
    out += "<line class=\"mark " + std::string(ToneClass(mark.tone)) + "\" x1=\"" + x + "\" x2=\"" + x +
           "\" y1=\"0\" y2=\"" + Px(kHeight) + "\"><title>" + EscapeHtml(mark.text) + "</title></line>";
  }
  return out;
}

double Top(const Chart& chart) {
  double most = 0;
  for (size_t at = 0; at < chart.slots.size(); at++) {
    double sum = 0;
    for (const Chart::Series& series : chart.series) {
      const double value = at < series.values.size() ? series.values[at] : 0;
      sum = chart.kind == Chart::Kind::kColumns ? sum + value : std::max(sum, value);
    }
    most = std::max(most, sum);
  }
  return NiceTop(most);
}

std::string Plot(const Chart& chart, const std::string& id) {
  const double top = Top(chart);
  std::string out = "<div class=\"plot\"><div class=\"scale\" aria-hidden=\"true\"><span>" +
                    Count(static_cast<uint64_t>(top)) + "</span><span>" +
                    (top >= 2 ? Count(static_cast<uint64_t>(top / 2)) : "") + "</span><span>0</span></div>" +
                    SvgHead(chart, id, kHeight, "area") + Grid();
  out += chart.kind == Chart::Kind::kColumns ? Columns(chart, top) : Lines(chart, top);
  return out + Marks(chart) + "</svg>" + Ticks(chart) + "</div>";
}

std::string Strips(const Chart& chart, const std::string& id) {
  constexpr double kStrip = 20;
  std::string out = "<div class=\"strips\">";
  for (size_t i = 0; i < chart.strips.size(); i++) {
    const Chart::Strip& strip = chart.strips[i];
    Chart one;
    one.title = strip.name;
    one.about = chart.about;
    out += "<span>" + EscapeHtml(strip.name) + "</span>" +
           SvgHead(one, id + "r" + std::to_string(i), kStrip, "strip") +
           Rect(0, 0, kWidth, kStrip, "ground", "");
    const double step = kWidth / static_cast<double>(std::max<size_t>(strip.shades.size(), 1));
    for (size_t at = 0; at < strip.shades.size(); at++) {
      out += Rect(static_cast<double>(at) * step, 0, strip.shades[at] > 0 ? step + 0.3 : 0, kStrip, "s0",
                  Slot(chart, at) + " · busy " + Percent(strip.shades[at]), 0.15 + 0.85 * strip.shades[at]);
    }
    for (const Chart::Band& band : strip.bands) {
      out +=
          Rect(band.from * kWidth, band.tone == Tone::kBad ? 0 : kStrip * 0.6,
               std::max(2.5, (band.to - band.from) * kWidth), band.tone == Tone::kBad ? kStrip : kStrip * 0.4,
               std::string(ToneClass(band.tone)), strip.name + " " + band.text);
    }
    out += "</svg>";
  }
  return out + "<span></span>" + Ticks(chart) + "</div>";
}

std::string Bars(const Chart& chart, const std::string& id) {
  constexpr double kBar = 30;
  std::string out = "<div class=\"bars\">";
  for (size_t i = 0; i < chart.bars.size(); i++) {
    const Chart::Bar& bar = chart.bars[i];
    Chart one;
    one.title = bar.name + ": " + bar.text;
    one.about = chart.about;
    out += "<div><span>" + EscapeHtml(bar.name) + "</span>" +
           SvgHead(one, id + "r" + std::to_string(i), kBar, "bar") + Rect(0, 0, kWidth, kBar, "ground", "") +
           Rect(0, 0, bar.value * kWidth, kBar, "s0", bar.text);
    if (bar.expected > 0) {
      const std::string x = Px(std::min(bar.expected * kWidth, kWidth - 2));
      out +=
          "<line class=\"mark warning\" x1=\"" + x + "\" x2=\"" + x + "\" y1=\"0\" y2=\"" + Px(kBar) + "\"/>";
    }
    out += "</svg><b>" + EscapeHtml(bar.text) + "</b></div>";
  }
  return out + "</div>";
}

}  // namespace

std::string_view ToneClass(Tone tone) {
  switch (tone) {
    case Tone::kPlain:
      return "plain";
    case Tone::kGood:
      return "good";
    case Tone::kWarning:
      return "warning";
    case Tone::kBad:
      return "bad";
  }
  return "plain";
}

std::string TableHtml(const Table& table) {
  if (table.rows.empty()) return "";
  std::string out = "<div class=\"table\" tabindex=\"0\" role=\"region\" aria-label=\"" +
                    EscapeHtml(table.caption.empty() ? "figures" : table.caption) + "\"><table>";
  if (!table.caption.empty()) out += "<caption>" + EscapeHtml(table.caption) + "</caption>";
  const bool headed = std::any_of(table.columns.begin(), table.columns.end(),
                                  [](const Column& c) { return !c.header.empty(); });
  if (headed) {
    out += "<thead><tr>";
    for (const Column& column : table.columns)
      out += std::string(column.number ? "<th class=\"n\"" : "<th") + " scope=\"col\">" +
             EscapeHtml(column.header) + "</th>";
    out += table.bars.empty() ? "</tr></thead>" : "<td></td></tr></thead>";
  }
  out += "<tbody>";
  for (size_t row = 0; row < table.rows.size(); row++) {
    out += "<tr>";
    for (size_t i = 0; i < table.rows[row].size(); i++) {
      const bool number = i < table.columns.size() && table.columns[i].number;
      const std::string cell = EscapeHtml(table.rows[row][i]);
      out += i == 0 ? "<th scope=\"row\">" + cell + "</th>"
                    : (number ? "<td class=\"n\">" : "<td>") + cell + "</td>";
    }
    if (row < table.bars.size())
      out += "<td class=\"share\"><i style=\"width:" + Px(std::clamp(table.bars[row], 0.0, 1.0) * 100) +
             "%\"></i></td>";
    out += "</tr>";
  }
  return out + "</tbody></table></div>";
}

std::string ChartHtml(const Chart& chart, const std::string& id) {
  std::string out = "<figure><figcaption>" + EscapeHtml(chart.title) + "</figcaption>" + Legend(chart);
  switch (chart.kind) {
    case Chart::Kind::kColumns:
    case Chart::Kind::kLines:
      out += Plot(chart, id);
      break;
    case Chart::Kind::kStrips:
      out += Strips(chart, id);
      break;
    case Chart::Kind::kBars:
      out += Bars(chart, id);
      break;
  }
  if (!chart.figures.rows.empty())
    out +=
        "<details><summary>The same figures as a table</summary>" + TableHtml(chart.figures) + "</details>";
  return out + "</figure>";
}

}  // namespace laneway::report
