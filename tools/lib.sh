# lib.sh: what quickstart, test and the tools share: steps with their duration, one clear way to fail.
# shellcheck disable=SC2034  # used by those who source it
#
# A step's own output goes to a log file; people see one line a step, and the log's end when it fails.

export LC_ALL=C.UTF-8          # the one locale a bare system has
umask 022

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ] && [ "${TERM:-dumb}" != dumb ]; then
  bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' green=$'\e[32m' off=$'\e[0m' live=1
else
  bold='' dim='' red='' green='' off='' live=0
fi
started_at=$SECONDS

# 75 -> 1m15s
duration() {
  if [ "$1" -ge 60 ]; then printf '%dm%02ds' $(($1 / 60)) $(($1 % 60)); else printf '%ds' "$1"; fi
}

say() { printf '%s\n' "$*"; }

# fail CODE "what, where, why" ["what to do" …]
fail() {
  local code=$1 line
  printf '%serror:%s %s\n' "$red" "$off" "$2" >&2
  shift 2
  for line in "$@"; do printf '       %s\n' "$line" >&2; done
  exit "$code"
}

# step "what" LOG command …: runs it, shows one line with the duration; on a terminal the log's last line meanwhile.
step() {
  local what=$1 log=$2 at=$SECONDS rc=0 told=$SECONDS pid
  shift 2
  mkdir -p "$(dirname "$log")"
  printf '\n== %s: %s\n' "$what" "$*" >>"$log"
  [ $live = 1 ] || printf '  %s ...\n' "$what"
  "$@" >>"$log" 2>&1 </dev/null &
  pid=$!
  trap 'kill "$pid" 2>/dev/null; wait "$pid" 2>/dev/null; trap - INT; kill -INT $$' INT
  trap 'kill "$pid" 2>/dev/null; wait "$pid" 2>/dev/null; exit 143' TERM
  while kill -0 "$pid" 2>/dev/null; do
    if [ $live = 1 ]; then
      printf '\r\e[K  %s %s%s %s%s' "$what" "$dim" "$(duration $((SECONDS - at)))" "$(tail -n 1 "$log" | tr -cd '[:print:]' | cut -c1-60)" "$off"
    elif [ $((SECONDS - told)) -ge 60 ]; then
      told=$SECONDS
      printf '    %s: %s\n' "$(duration $((SECONDS - at)))" "$(tail -n 1 "$log" | tr -cd '[:print:]' | cut -c1-90)"
    fi
    sleep 0.2
  done
  wait "$pid" || rc=$?
  trap - INT TERM
  [ $live = 1 ] && printf '\r\e[K'
  if [ $rc -ne 0 ]; then
    printf '  %s%s: failed after %s%s\n' "$red" "$what" "$(duration $((SECONDS - at)))" "$off"
    printf '\n' >&2
    tail -n 40 "$log" >&2
    fail 1 "$what failed (exit $rc)" "the whole log: $log"
  fi
  printf '  %s%s%s %s\n' "$green" "$what" "$off" "$(duration $((SECONDS - at)))"
}

# How many compilers at once: one a core, and no more than the memory carries (about 1.2 GB each).
build_jobs() {
  local cores memory_mb jobs
  cores=$(nproc 2>/dev/null || echo 2)
  memory_mb=$(awk '/^MemAvailable:/ {print int($2 / 1024)}' /proc/meminfo 2>/dev/null || echo 4096)
  jobs=$((memory_mb / 1200))
  [ "$jobs" -ge 1 ] || jobs=1
  [ "$jobs" -le "$cores" ] || jobs=$cores
  echo "$jobs"
}

# Where things are kept that are made once for all builds of this user.
cache_folder() { echo "${LANEWAY_CACHE:-${XDG_CACHE_HOME:-${HOME:-/var/tmp}/.cache}/laneway}"; }

# configure PRESET LOG: only when it was not done, or its preset is newer. CMake itself notices changed CMakeLists.txt files at build time.
configure() {
  local folder
  case $1 in release) folder=build ;; *) folder=build-$1 ;; esac
  if [ ! -f "$folder/build.ninja" ] || [ CMakePresets.json -nt "$folder/build.ninja" ]; then
    step "configure $1" "$2" cmake --preset "$1"
  fi
}
