#!/bin/busybox sh
# A guest's first process: brings the machine up, then does what the bench tells it, command by command.
/bin/busybox mkdir -p /proc /sys /dev /run /tmp /home /sbin /usr/bin /usr/sbin
/bin/busybox --install -s /bin
export PATH=/bin:/sbin:/usr/bin HOME=/home LC_ALL=C FARMHAND_HOME=/tmp/farm
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts
mount -t devpts devpts /dev/pts
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=1777 tmpfs /tmp
ip link set lo up
ulimit -n 4096

/lib/systemd/systemd-udevd --daemon || echo "bench: udevd does not start"
while read -r module; do
    insmod "/modules/$module.ko" || echo "bench: $module does not load"
done < /modules/order
udevadm trigger --action=add
udevadm settle --timeout=60

for port in /sys/class/virtio-ports/*; do
    [ "$(cat "$port/name")" = farmhand.bench ] && node=/dev/${port##*/}
done
exec 3<>"$node" || poweroff -f
echo READY >&3
# A line: number, seconds, the command in base64. The answer: number, exit code, two lengths, then both outputs.
while read -r number seconds command <&3; do
    echo "$command" | base64 -d > /run/command
    timeout -s KILL "$seconds" sh /run/command > /run/out 2> /run/err < /dev/null 3>&-
    code=$?
    cp /run/out /run/out.done
    cp /run/err /run/err.done
    echo "$number $code $(stat -c %s /run/out.done) $(stat -c %s /run/err.done)" >&3
    cat /run/out.done /run/err.done >&3
done
# The bench is gone.
poweroff -f
