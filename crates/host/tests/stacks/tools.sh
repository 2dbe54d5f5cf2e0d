# Stand-ins for the tools of boot stacks, as far as passthru can see them: they read the configuration
# where the real ones do, with the same shell, and write the same files. $ROOT is the host's tree.
set -e

# A file of the host with its own absolute paths led into $ROOT, run by its interpreter.
run() {
	sed -e "s#/etc/#$ROOT/etc/#g" -e "s#/usr/share/#$ROOT/usr/share/#g" "$1" >"$STAGE.script"
	shift
	"$@" "$STAGE.script"
}

put() { # SOURCE DESTINATION
	mkdir -p "$STAGE/$(dirname "$2")"
	cp "$1" "$STAGE/$2"
}

module() { # NAME
	put /dev/null "usr/lib/modules/$RELEASE/kernel/drivers/vfio/pci/$(echo "$1" | tr _ -).ko.xz"
}

# initramfs-tools: every modprobe.d file, executable scripts of init-top, and what hooks ask for.
initramfs_tools() {
	for file in "$ROOT"/etc/modprobe.d/*.conf "$ROOT"/etc/initramfs-tools/scripts/init-top/*; do
		[ -e "$file" ] || continue
		case $file in
		*/init-top/*) [ -x "$file" ] && put "$file" "scripts/init-top/${file##*/}" ;;
		*) put "$file" "etc/modprobe.d/${file##*/}" ;;
		esac
	done
	for hook in "$ROOT"/etc/initramfs-tools/hooks/*; do
		[ -x "$hook" ] || continue
		mkdir -p "$ROOT/usr/share/initramfs-tools"
		manual_add_modules() { for name; do module "$name"; done; }
		sed -e '/hook-functions/d' "$hook" >"$STAGE.script"
		(. "$STAGE.script")
	done
}

# dracut: modules whose check() says yes, and items of its configuration.
dracut() {
	for moddir in "$ROOT"/usr/lib/dracut/modules.d/*/; do
		[ -e "$moddir/module-setup.sh" ] || continue
		instmods() { for name; do module "$name"; done; }
		inst_simple() { put "$ROOT$1" "$1"; }
		inst_hook() { put "$3" "var/lib/dracut/hooks/$1/$2-${3##*/}"; }
		. "$moddir/module-setup.sh"
		if check; then
			installkernel
			install
		fi
	done
	add_drivers= install_items=
	for file in "$ROOT"/etc/dracut.conf.d/*.conf; do
		[ -e "$file" ] && . "$file"
	done
	for name in $add_drivers; do module "$name"; done
	for item in $install_items; do put "$ROOT$item" "$item"; done
}

# The command line that dracut builds into unified images.
dracut_cmdline() {
	kernel_cmdline=
	for file in "$ROOT"/etc/dracut.conf.d/*.conf; do
		. "$file"
	done
	echo $kernel_cmdline >"$STAGE.cmdline"
}

# mkinitcpio: the configuration, its drop-ins unless the preset names one, and the hooks of HOOKS.
mkinitcpio() { # CONFIG-OF-PRESET
	HOOKS=()
	. "$ROOT${1:-/etc/mkinitcpio.conf}"
	if [ -z "$1" ]; then
		for file in "$ROOT"/etc/mkinitcpio.conf.d/*.conf; do
			[ -e "$file" ] && . "$file"
		done
	fi
	BUILDROOT=$STAGE
	add_module() { module "$1"; }
	add_file() { put "$ROOT$1" "${2:-$1}"; }
	add_symlink() { put /dev/null "$1"; }
	add_binary() { put /dev/null "$1"; }
	for hook in "${HOOKS[@]}"; do
		add_runscript() { put "$ROOT/etc/initcpio/hooks/$hook" "hooks/$hook"; }
		case $hook in
		base | udev | systemd | autodetect | modconf | block | filesystems) continue ;;
		esac
		sed -e "s#\$ROOT##" "$ROOT/etc/initcpio/install/$hook" >"$STAGE.script"
		. "$STAGE.script"
		build
	done
}

booster() {
	list=$(sed -n 's/^modules_force_load: *//p' "$ROOT/etc/booster.yaml")
	for name in ${list//,/ }; do
		put /dev/null "usr/lib/modules/$name.ko"
	done
}

# grub-mkconfig: the defaults, drop-ins where the distribution reads them, and every script.
grub_mkconfig() { # TARGET
	. "$ROOT/etc/default/grub"
	if [ -e "$ROOT/usr/sbin/grub-mkconfig" ] && grep -q default/grub.d "$ROOT/usr/sbin/grub-mkconfig"; then
		for file in "$ROOT"/etc/default/grub.d/*.cfg; do
			[ -e "$file" ] && . "$file"
		done
	fi
	export GRUB_CMDLINE_LINUX GRUB_CMDLINE_LINUX_DEFAULT GRUB_DISABLE_RECOVERY GRUB_CMDLINE_LINUX_RECOVERY ROOT
	{
		echo 'if [ -s $prefix/grubenv ]; then'
		echo '  load_env'
		echo 'fi'
		for script in "$ROOT"/etc/grub.d/*; do
			[ -x "$script" ] && run "$script" sh
		done
	} >"$ROOT$1"
}

"$@"
