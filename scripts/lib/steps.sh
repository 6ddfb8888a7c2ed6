# shellcheck shell=bash
# Runs the steps of a check one after the other and sums them up. A step that fails does not keep
# the others from running: one run tells everything that is wrong.

step_results=()
steps_passed=0
steps_failed=0

# step TITLE COMMAND...
step() {
  local title=$1 started=$SECONDS outcome
  shift
  printf '\n==> %s\n' "$title"
  if "$@"; then
    outcome=passed
    steps_passed=$((steps_passed + 1))
  else
    outcome=FAILED
    steps_failed=$((steps_failed + 1))
  fi
  step_results+=("$(printf '%-6s %4ds  %s' "$outcome" $((SECONDS - started)) "$title")")
  printf '<== %s: %s in %d s\n' "$title" "$outcome" $((SECONDS - started))
}

# Prints what became of every step; its status is 1 when one failed.
summarize_steps() {
  printf '\n'
  printf '%s\n' "${step_results[@]}"
  printf '\n%d passed, %d failed\n' "$steps_passed" "$steps_failed"
  [ "$steps_failed" -eq 0 ]
}
