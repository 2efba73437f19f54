#!/bin/bash
# Stands in for the worker program. It notes what it was given and then does what $FAKE says.
printf '%s\0' "$@" >"$FAKE_DIR/$1.args"
hold() { until [[ ! $FAKE_HOLD || -e $FAKE_DIR/$FAKE_HOLD ]]; do sleep 0.01; done; }
[[ $1 != sweep ]] || hold
[[ $1 == run ]] || exec cat >"$FAKE_DIR/said"
env -0 >"$FAKE_DIR/env"
case $FAKE in
obey) trap 'echo term >>"$FAKE_DIR/terms"; hold; exit 7' TERM ;;
twice) trap 'echo term >>"$FAKE_DIR/terms"; [[ $term ]] && exit 8; term=1' TERM ;;
deaf) trap 'echo term >>"$FAKE_DIR/terms"' TERM ;;
*) exit "$FAKE" ;;
esac
echo $$ >"$FAKE_DIR/pid"
: >"$FAKE_DIR/ready"
while :; do sleep 0.05; done
