#!/usr/bin/env bash
# Checks one agency timesheet (CSV, a branch's shifts of one week), works out pay and invoices, and writes them.
#
#   process.sh TIMESHEET.csv [OUTPUT_FOLDER]      (default: the timesheet's own folder)
#
# Writes <name>.result.csv (one line a worker) and <name>.summary.txt (one line a client), both or neither.
# Exit 0: done. 65: the timesheet is wrong, every fault is listed on stderr. 75: the rates service is not ready, try again later.
# 3: a client is not in clients.csv: somebody in the office has to add it. 64: called wrongly. 74: cannot read or write.
# This is an ordinary script: it was written before there was a fleet to run it.
set -euo pipefail
export LC_ALL=C
PATH=${PATH:-/usr/bin:/bin}
[ $# -ge 1 ] && [ $# -le 2 ] || { echo "usage: process.sh TIMESHEET.csv [OUTPUT_FOLDER]" >&2; exit 64; }

sheet=$1
case $sheet in -*) sheet=./$sheet ;; esac
name=${sheet##*/}
stem=${name%.*}
output=${2:-${sheet%"$name"}}
output=${output:-.}
case $output in -*) output=./$output ;; esac
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
clients=$here/clients.csv
[ -r "$sheet" ] || { echo "cannot read the timesheet" >&2; exit 74; }
[ -r "$clients" ] || { echo "cannot read $clients" >&2; exit 74; }

# The rates service answers "not ready" the first time it is asked about some timesheets, as slow services do: it has to work the rates out first.
# Here it is a folder that remembers who has asked before.
rates=${RATES_SERVICE:-$here/rates-service}
sum=$(cksum <"$sheet")
sum=${sum%% *}
if [ $((sum % 33)) -eq 0 ] && mkdir -p "$rates" && mkdir "$rates/$sum" 2>/dev/null; then
  echo "rates service: not ready for $sum, try again" >&2
  exit 75
fi

result=$output/.$sum.$$.result
summary=$output/.$sum.$$.summary
trap 'rm -f -- "$result" "$summary"' EXIT
code=0
awk -v result="$result" -v summary="$summary" -f "$here/timesheet.awk" "$clients" - <"$sheet" || code=$?
[ $code -eq 0 ] || exit $code
mv -f -- "$result" "$output/$stem.result.csv" || exit 74
mv -f -- "$summary" "$output/$stem.summary.txt" || exit 74
cat -- "$output/$stem.summary.txt"
