# make-timesheets.awk: writes `count` timesheets below `folder`, and to stdout how many must end where. The same for every awk: its own dice.

function roll(sides) {  # 0 … sides - 1 (a linear congruential generator, small enough for exact doubles)
  state = (state * 69069 + 12345) % 4294967296
  return int(state / 65536) % sides
}
function pick(list, n) { return list[1 + roll(n)] }
function clock(minutes) { return sprintf("%02d:%02d", int(minutes / 60) % 24, minutes % 60) }
function quote(text) { return text ~ /,/ ? "\"" text "\"" : text }

# The part of the name that careless programs stumble over.
function odd_name(i,    k) {
  k = int(i / 12) % 12
  if (k == 0) return "branch " i " (copy).csv"
  if (k == 1) return "Filiale Köln – Süd " i ".csv"
  if (k == 2) return "O'Brien's \"night\" crew " i ".csv"
  if (k == 3) return "-rf " i ".csv"
  if (k == 4) return "two\nlines " i ".csv"
  if (k == 5) return "$(touch pwned) `id` " i ".csv"
  if (k == 6) return "a;b&c|d " i ".csv"
  if (k == 7) return "latin1 \374\337 " i ".csv"
  if (k == 8) return " leading and trailing " i ".csv "
  if (k == 9) return "{file} %s %n " i ".csv"
  if (k == 10) return "*?[a-z] " i ".csv"
  return long i ".csv"
}

BEGIN {
  state = seed * 2654435 + 1
  agencies = split("Northgate Care|Bright Staffing|Zeitarbeit Müller", agency, "|")
  clients = split("St Mary's Hospital|Harbour Logistics|Weber & Söhne, Köln|Oakfield Primary School|Castle Hotel|Meridian Foods|Northern Rail Depot|Elm Tree Care Home|City Council|Summit Construction|Blue Bay Marina|Pannier Market", client, "|")
  firsts = split("Ada Jürgen Grace Linus Chipo Noor Tomás Wei Siobhán Priya Jakub Amara Björn Fatima Olek Mei", first, " ")
  lasts = split("Okafor Müller Patel Nowak O'Neill Ibrahim Schäfer Tanaka Díaz Mensah Lindqvist Haddad Smith Kowalska", last, " ")
  bosses = split("R. Patel|M. Jones|K. Weiß|A. Osei|L. Brandt", boss, "|")
  for (i = 0; i < 180; ++i) long = long substr("abcdefghij", i % 10 + 1, 1)
  header = "shift_id,worker_id,worker,client,date,start,end,break_min,hours,rate,approved_by"
  for (i = 1; i <= count; ++i) write_sheet(i)
  print "completed " completed + 0
  print "failed " failed + 0
  print "quarantine " quarantine + 0
}

function write_sheet(i,    path, fault, k, week, newline, people, person, shift, day, from, length_, pause, hours, id, rate, rows, bad, who, to, line) {
  week = 43 + roll(3)
  path = folder "/" pick(agency, agencies) "/2026-W" week "/"
  if (i % 12 == 5) path = path odd_name(i)
  else if (i % 50 == 7) path = folder "/late arrivals/" i ".CSV"
  else path = path "branch-" sprintf("%04d", i) ".csv"
  fault = i % 15 == 0 ? 1 + int(i / 15) % 9 : 0   # quarantine
  if (i % 100 == 50) fault = 10                    # an unknown client: failed
  if (fault == 10) ++failed; else if (fault) ++quarantine; else ++completed
  newline = i % 20 == 3 ? "\r\n" : "\n"            # some come from Windows, some with a byte order mark
  if (i % 25 == 4) printf "\357\273\277" > path
  if (fault == 9) { printf "" > path; close(path); return }
  k = header
  if (fault == 1) sub(/,rate/, "", k)
  printf "%s%s", k, newline > path
  people = 40 + roll(60)
  bad = 1 + roll(people)                           # whose first shift carries the fault
  for (person = 1; person <= people; ++person) {
    who = pick(last, lasts) ", " pick(first, firsts)
    id = "W" sprintf("%05d", roll(100000))
    rate = sprintf("%.2f", 11.5 + roll(1600) / 100)
    for (shift = 0; shift < 5; ++shift) {
      day = (week - 43) * 7 + 19 + (shift + person) % 7   # from Monday, 19 October 2026
      from = 15 * (24 + roll(52)); length_ = 15 * (20 + roll(20)); pause = 15 * roll(4)
      hours = (length_ - pause) / 60
      to = clock(from + length_)
      k = sprintf("2026-%02d-%02d", day > 31 ? 11 : 10, day > 31 ? day - 31 : day)
      if (person == bad && shift == 0) {
        if (fault == 2) hours = "8h30"
        if (fault == 3) hours = "-" hours
        if (fault == 4) hours += 1.5
        if (fault == 5) k = "2026-02-30"
        if (fault == 6) to = "25:99"
        if (fault == 8) who = "\"" who                 # a quote that is never closed
      }
      line = "S" i "-" ++rows "," id "," (who ~ /^"/ ? who : quote(who)) "," quote(fault == 10 && person == bad ? "Ghost Traders" : pick(client, clients)) "," k "," \
        clock(from) "," to "," pause "," hours
      if (fault != 1) line = line "," rate
      line = line "," (fault == 7 && person == bad && shift == 0 ? "" : pick(boss, bosses))
      printf "%s%s", line, newline > path
    }
  }
  close(path)
}
