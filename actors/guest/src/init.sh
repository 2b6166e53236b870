#!/bin/busybox sh
# A guest's first process: hardware and file systems, then busybox's own init with the agent.
/bin/busybox --install -s /bin
export PATH=/bin:/sbin LC_ALL=C
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts
mount -t devpts devpts /dev/pts
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=1777 tmpfs /tmp
hostname farmhand
ip link set lo up

while read -r module; do
    insmod "/modules/$module.ko" || echo "farmhand: the module $module does not load"
done < /modules/order

# As udev names it, which is not here.
mkdir -p /dev/virtio-ports
for port in /sys/class/virtio-ports/*; do
    ln -s "../${port##*/}" "/dev/virtio-ports/$(cat "$port/name")"
done

# Its disk: made a file system where it is blank, and never where it is not.
if [ -b /dev/vda ]; then
    if [ "$(head -c 65536 /dev/vda | tr -d '\0' | wc -c)" = 0 ]; then
        mke2fs -F -m 0 /dev/vda > /run/mke2fs 2>&1 || cat /run/mke2fs
    fi
    mount -t ext2 /dev/vda /data || echo "farmhand: its disk is not mounted"
fi

exec /bin/busybox init
