#!/bin/sh
# Runs in the guest. What it says is recorded as the device's output; how it ends is the verdict.
set -e

echo "this is $(uname -sr), up for $(cut -d. -f1 /proc/uptime) s"

# A disk of its own: blank in each guest that boots, and as it was in each that begins healthy.
echo one > /data/file
sync
[ "$(cat /data/file)" = one ]
echo "ok 1 - what was written to the disk is read from it"

printf 'b\na\n' | sort | head -n 1 | grep -q a
echo "ok 2 - its shell sorts"

[ "$(ip -o link show lo | wc -l)" = 1 ]
echo "ok 3 - it has a network of its own"
