#!/bin/sh
# The lab's hands inside a host: runs what the driver sends over the second serial port.
#
#   driver: @run ID BASE64-OF-A-SHELL-SCRIPT        host: @reply ID STATUS
#                                                         @out BASE64
#                                                         @err BASE64
#                                                         @end ID
#   driver: @ping                                   host: @hello BOOT-ID
#
# A host says @hello once when it starts, so the driver sees every boot.
port=/dev/ttyS1
room=/run/lab
export HOME=/root LC_ALL=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

mkdir -p "$room"
exec 3<>"$port"
stty -F "$port" raw -echo
read -r boot </proc/sys/kernel/random/boot_id
printf '@hello %s\n' "$boot" >&3

while read -r verb id script <&3; do
    case $verb in
    @ping) printf '@hello %s\n' "$boot" >&3 ;;
    @run)
        printf '%s' "$script" | base64 -d >"$room/script"
        (cd / && exec sh "$room/script") >"$room/out" 2>"$room/err" </dev/null 3>&-
        status=$?
        {
            printf '@reply %s %s\n@out ' "$id" "$status"
            base64 -w0 "$room/out"
            printf '\n@err '
            base64 -w0 "$room/err"
            printf '\n@end %s\n' "$id"
        } >&3
        ;;
    esac
done
