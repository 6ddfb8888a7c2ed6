# shellcheck shell=bash
# Finds PostgreSQL's server programs, which Debian keeps outside PATH.

# Prints the directory that holds initdb and postgres: the newest of several. Status 1 when there is none.
postgres_bin_dir() {
  local initdb
  initdb=$(command -v initdb || true)
  if [ -z "$initdb" ]; then
    initdb=$(find /usr/lib/postgresql -path '*/bin/initdb' 2>/dev/null | sort -V | tail -n 1)
  fi
  [ -n "$initdb" ] || return 1
  dirname "$(readlink -f "$initdb")"
}
