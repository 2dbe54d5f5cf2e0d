//! The script that binds functions in the initramfs, before udev loads any driver. It is the same for
//! every generator; each runs it in its own way. It needs a POSIX shell, and modprobe of kmod.

/// Ends by `exit`. Without passthru's words on the kernel command line it does nothing.
pub(super) const TEXT: &str = "\
bind=
load=
read -r cmdline </proc/cmdline
for word in $cmdline; do
\tcase \"$word\" in
\tpassthru.bind=*)
\t\tbind=\"${word#*=}\"
\t\tload=y
\t\t;;
\tpassthru.load=*)
\t\tload=y
\t\t;;
\tesac
done
[ -n \"$load\" ] || exit 0

say() {
\techo \"passthru: $1\" >/dev/kmsg
}

hex() {
\tread -r value 2>/dev/null <\"$1\" || value=
\techo \"${value#0x}\"
}

# By its path: the shell here is often busybox, whose own modprobe does not find
# vfio-pci's parameters on the kernel command line.
/sbin/modprobe -q vfio_iommu_type1
/sbin/modprobe -q vfio-pci
if [ ! -d /sys/bus/pci/drivers/vfio-pci ]; then
\tsay \"vfio-pci could not be loaded; every function stays with its driver\"
\texit 0
fi

# address=vendor:device[/subvendor:subdevice],...
IFS=,
for entry in $bind; do
\taddress=\"${entry%%=*}\"
\tdevice=\"/sys/bus/pci/devices/$address\"
\tif [ ! -e \"$device/vendor\" ]; then
\t\tsay \"there is nothing at $address\"
\t\tcontinue
\tfi
\tfound=\"$(hex \"$device/vendor\"):$(hex \"$device/device\")\"
\tcase \"$entry\" in
\t*/*) found=\"$found/$(hex \"$device/subsystem_vendor\"):$(hex \"$device/subsystem_device\")\" ;;
\tesac
\tif [ \"$address=$found\" != \"$entry\" ]; then
\t\tsay \"at $address there is $found, not ${entry#*=}; left alone\"
\t\tcontinue
\tfi
\techo vfio-pci >\"$device/driver_override\"
\tif [ -e \"$device/driver\" ]; then
\t\t# A driver built into the kernel was there first.
\t\techo \"$address\" >\"$device/driver/unbind\"
\tfi
\techo \"$address\" >/sys/bus/pci/drivers_probe
done
exit 0
";
