# shellcheck shell=bash
# Finds the gateway's binary for tests that run it from outside.

# Prints the path of GATEWAY_BIN or else of the debug build, which must be there.
gateway_binary() {
  local binary=${GATEWAY_BIN:-${CARGO_TARGET_DIR:-$PWD/target}/debug/intuned-gateway}
  if [ ! -x "$binary" ]; then
    echo "no binary at $binary: run cargo build" >&2
    return 1
  fi
  echo "$binary"
}
