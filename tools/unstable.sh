# Runs a command in a root: sh unstable.sh ROOT COMMAND…, from the top of the repository. Only what is mounted for
# nobody else is mounted here: unstable.py starts it in a namespace of its own.
set -e
root=$1; shift
# Tests make namespaces of their own, which need a root that is mounted.
mount --bind "$root" "$root"
# The repository is mounted at its own path: a wheel's stamp, and what is printed, stay as they are.
mkdir -p "$root$PWD" "$root/environments"
mount --bind "$PWD" "$root$PWD"
mkdir -p "$root$PWD/.venv"
mount --bind "$root/environments" "$root$PWD/.venv"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
# Whom this machine trusts. While packages are installed they have a folder of their own, which they change.
if [ -f "$root/.made" ] && [ -d /etc/ssl/certs ]; then
	mkdir -p "$root/etc/ssl/certs"
	mount --bind /etc/ssl/certs "$root/etc/ssl/certs"
	mount -o remount,bind,ro "$root/etc/ssl/certs"
fi
cp /etc/resolv.conf /etc/hosts "$root/etc/"
# The first process of a namespace inherits the orphans of all others, and this shell waits for them, too.
exec chroot "$root" /bin/sh -c 'cd "$0" && "$@"; exit $?' "$PWD" "$@"
