#!/bin/sh
# Lays out the root of the final image in $2 around the program $1: its libraries where it looks for them, certificates, a directory
# for its state and an empty configuration, which means defaults.
set -eu

program=$1
root=$2
mkdir -p "$root/usr/local/bin" "$root/etc/ssl/certs" "$root/etc/myelin" "$root/var/lib/myelin" "$root/tmp"
cp "$program" "$root/usr/local/bin/myelin"
# The loader has a path of its own, the others stand behind an arrow.
ldd "$program" | grep -o '/[^ )]*' | while IFS= read -r library; do
    mkdir -p "$root$(dirname "$library")"
    cp -L "$library" "$root$library"
done
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
printf 'myelin:x:65532:65532::/var/lib/myelin:/nonexistent\n' > "$root/etc/passwd"
printf 'myelin:x:65532:\n' > "$root/etc/group"
# Names are looked up in the file first, then in the network's service, which knows the other containers.
printf 'hosts: files dns\n' > "$root/etc/nsswitch.conf"
: > "$root/etc/myelin/myelin.toml"
chown 65532:65532 "$root/var/lib/myelin"
chmod 1777 "$root/tmp"
