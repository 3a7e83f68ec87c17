#!/usr/bin/env bash
# Uploads one timesheet without a browser: the same site, asked by curl.
#
#   no-browser.sh TIMESHEET.csv       UPLOAD_URL, UPLOAD_PASSWORD: the site. UPLOAD_STATE: where each worker's session is kept (data/sessions)
#
# Logs in only when the site asks for it. Exit 0: uploaded. 65: the site refuses the file. 75: the site cannot be reached. 1: anything else.
set -euo pipefail
[ $# -eq 1 ] && [ -n "${UPLOAD_URL:-}" ] && [ -n "${UPLOAD_PASSWORD:-}" ] || { echo "usage: no-browser.sh FILE, with UPLOAD_URL and UPLOAD_PASSWORD set" >&2; exit 64; }
umask 077
file=$1 worker=${LANEWAY_WORKER:-DTF-01}
state=${UPLOAD_STATE:-data/sessions}
jar=$state/$worker.cookies
mkdir -p "$state"
page=$(mktemp)
trap 'rm -f -- "$page"' EXIT

# Prints the status; the page is in $page.
ask() { curl -sS --max-time 60 -o "$page" -w '%{http_code}' -b "$jar" -c "$jar" "$@" || exit 75; }
text() { sed 's/<[^>]*>//g' "$page" | grep -v '^Uploads$' | grep . || true; }
# The password goes in by stdin: arguments can be seen by everybody on the machine.
log_in() { printf %s "$UPLOAD_PASSWORD" | ask --data-urlencode "user=$worker" --data-urlencode password@- "$UPLOAD_URL/login"; }

name=${file##*/}
name=${name//\\/\\\\}
name=${name//\"/\\\"}
upload() {
  ask -F "worker=$worker" -F "reference=${LANEWAY_TASK:-}.${LANEWAY_ATTEMPT:-}" -F "file=@-;type=text/csv;filename=\"$name\"" "$UPLOAD_URL/upload" <"$file"
}

status=$(upload)
if [ "$status" = 303 ]; then
  echo "logging in as $worker"
  [ "$(log_in)" = 303 ] || { text >&2; exit 1; }
  status=$(upload)
fi
case $status in
  200) text ;;
  422) text >&2; exit 65 ;;
  000 | 5*) echo "the site answers $status" >&2; exit 75 ;;
  *) text >&2; exit 1 ;;
esac
