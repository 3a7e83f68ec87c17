# timesheet.awk: the arithmetic of process.sh. Reads clients.csv, then one timesheet; writes `result` and `summary`.
#
# Pay: hours above 40 a week at 1.5; from 20:00 to 06:00 a third more; on Sundays double. The invoice is the pay times the client's markup.
# Exits 65 when the timesheet is wrong (all faults on stderr), 3 when a client is unknown.

# Fields of a CSV line into f[1..n]; quotes may hold commas and doubled quotes. -1: a quote is not closed.
function csv(line, f,    n, i, c, text, quoted, length_) {
  n = 0; text = ""; quoted = 0; length_ = length(line)
  for (i = 1; i <= length_; ++i) {
    c = substr(line, i, 1)
    if (quoted) {
      if (c != "\"") text = text c
      else if (substr(line, i + 1, 1) == "\"") { text = text "\""; ++i }
      else quoted = 0
    } else if (c == "\"") quoted = 1
    else if (c == ",") { f[++n] = text; text = "" }
    else text = text c
  }
  f[++n] = text
  return quoted ? -1 : n
}
function quote(text) {
  if (text !~ /[",]/) return text
  gsub(/"/, "\"\"", text)
  return "\"" text "\""
}
function fault(what) {
  if (++faults <= 20) print "line " row ": " what > "/dev/stderr"
}
# Minutes since midnight; -1 when it is no time of day.
function minutes(text,    part) {
  if (text !~ /^[0-2][0-9]:[0-5][0-9]$/) return -1
  split(text, part, ":")
  return part[1] < 24 ? part[1] * 60 + part[2] : -1
}
# 0 for Sunday … 6; -1 when there is no such day.
function weekday(text,    part, y, m, d, last) {
  if (text !~ /^[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]$/) return -1
  split(text, part, "-")
  y = part[1] + 0; m = part[2] + 0; d = part[3] + 0
  if (m < 1 || m > 12) return -1
  last = substr("312831303130313130313031", m * 2 - 1, 2) + (m == 2 && (y % 4 == 0 && y % 100 != 0 || y % 400 == 0))
  if (d < 1 || d > last) return -1
  if (m < 3) --y
  return (y + int(y / 4) - int(y / 100) + int(y / 400) + substr("032503514624", m, 1) + d) % 7
}

{ sub(/\r$/, "") }
FNR == 1 { row = 0; ++file; sub(/^\357\273\277/, "") }
{ row = FNR }
file == 1 { if (FNR > 1 && csv($0, field) == 3) markup[field[1]] = field[3]; next }

FNR == 1 {
  width = csv($0, field)
  for (i = 1; i <= width; ++i) column[field[i]] = i
  wanted = split("shift_id worker_id worker client date start end break_min hours rate approved_by", want, " ")
  for (i = 1; i <= wanted; ++i) if (!(want[i] in column)) fault("column '" want[i] "' is missing")
  if (faults) exit 65
  next
}
$0 == "" { next }
{
  ++shifts
  count = csv($0, field)
  if (count != width) { fault(count < 0 ? "a quote is not closed" : count " fields, the header has " width); next }
  from = minutes(field[column["start"]]); to = minutes(field[column["end"]])
  pause = field[column["break_min"]]; hours = field[column["hours"]]; rate = field[column["rate"]]
  day = weekday(field[column["date"]])
  client = field[column["client"]]; worker = field[column["worker_id"]]
  bad = faults
  if (from < 0 || to < 0) fault("start and end are times of day, not '" field[column["start"]] "' and '" field[column["end"]] "'")
  if (day < 0) fault("there is no day '" field[column["date"]] "'")
  if (pause !~ /^[0-9]+$/) fault("break_min is '" pause "'")
  if (hours !~ /^[0-9]+(\.[0-9]+)?$/) fault("hours is '" hours "'")
  if (rate !~ /^[0-9]+(\.[0-9]+)?$/ || rate + 0 == 0) fault("rate is '" rate "'")
  if (field[column["approved_by"]] == "") fault("nobody has approved shift " field[column["shift_id"]])
  if (worker == "") fault("worker_id is empty")
  if (faults > bad) next
  if (to <= from) to += 1440  # over midnight
  worked = to - from - pause
  if (worked <= 0) { fault("a break of " pause " minutes in a shift of " to - from); next }
  if (worked - hours * 60 > 0.5 || hours * 60 - worked > 0.5) { fault("hours is " hours ", start, end and break make " worked / 60); next }
  if (!(client in markup)) unknown[client] = 1
  night = sunday = 0
  for (m = from; m < to; ++m) {
    minute = m % 1440
    if (minute >= 1200 || minute < 360) ++night
    if ((m < 1440 ? day : (day + 1) % 7) == 0) ++sunday
  }
  if (!(worker in total)) order[++workers] = worker
  name[worker] = field[column["worker"]]
  ++shift_count[worker]
  before = total[worker]
  total[worker] += worked
  over = total[worker] > 2400 ? total[worker] - (before > 2400 ? before : 2400) : 0
  overtime[worker] += over; nights[worker] += night; sundays[worker] += sunday
  pay = rate / 60 * (worked + over / 2 + night / 3 + sunday)
  gross[worker] += pay
  if (!(client in invoice)) client_order[++client_count] = client
  invoice[client] += pay * markup[client]
  client_minutes[client] += worked
}

END {
  if (!shifts && !faults) { row = FNR; fault("no shift in it") }
  if (faults) {
    print faults " faults" > "/dev/stderr"
    exit 65
  }
  for (client in unknown) { print "client '" client "' is not in clients.csv" > "/dev/stderr"; missing = 1 }
  if (missing) exit 3
  print "worker_id,worker,shifts,hours,overtime_hours,night_hours,sunday_hours,gross" > result
  for (i = 1; i <= workers; ++i) {
    worker = order[i]
    printf "%s,%s,%d,%.2f,%.2f,%.2f,%.2f,%.2f\n", quote(worker), quote(name[worker]), shift_count[worker], total[worker] / 60,
      overtime[worker] / 60, nights[worker] / 60, sundays[worker] / 60, gross[worker] > result
  }
  for (i = 1; i <= client_count; ++i) {
    client = client_order[i]
    printf "%-28s %8.2f h  invoice %10.2f\n", client, client_minutes[client] / 60, invoice[client] > summary
  }
  printf "%d shifts, %d workers, %d clients\n", shifts, workers, client_count > summary
  if (close(result) != 0 || close(summary) != 0) exit 74
}
