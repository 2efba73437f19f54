#!/bin/bash
# Stands in for Apptainer: notes what it was given, and runs the command behind the image.
printf '%s\0' "$@" >"$FAKE_DIR/apptainer.args"
while [[ $1 != *.sif ]]; do
	[[ $1 != --workdir ]] || : >"$2/in-scratch"
	shift
done
shift
[[ $FAKE != 255 ]] || { echo 'FATAL: no such image' && exit 255; }
exec "$@"
