#!/usr/bin/env bash
# Installs the Debian packages that a purpose needs, and nothing where they are all there. Every package that anything in
# this repository needs is named here and nowhere else.
#
#   tools/packages.sh demo|test|bench
set -euo pipefail

# To record and to encode.
recorder=(ffmpeg)
# A desktop that can be resized, with programs on it.
desktop=(tigervnc-standalone-server xauth x11-utils x11-xserver-utils x11-apps xterm openbox fonts-dejavu-core procps)
# A program as people use it all day, to measure with, and to see what pages do to one.
browser=(chromium)
# A C compiler for the race detector.
compiler=(gcc libc6-dev)
# A server for the catalog's tests.
database=(postgresql)
# Hosts in network namespaces, whose network tests can cut.
network=(iproute2)
# Screens with several monitors, and screens that can be rotated.
screens=(xserver-xorg-core xserver-xorg-video-dummy xserver-xephyr)
# A message bus of their own, on which tests play the login manager.
bus=(dbus-daemon)

case "${1-}" in
demo) packages=("${recorder[@]}" "${desktop[@]}") ;;
test) packages=("${recorder[@]}" "${desktop[@]}" "${compiler[@]}" "${database[@]}" "${network[@]}" "${bus[@]}" "${screens[@]}" "${browser[@]}") ;;
bench) packages=("${recorder[@]}" "${desktop[@]}" "${database[@]}" "${browser[@]}") ;;
*)
	echo "usage: tools/packages.sh demo|test|bench" >&2
	exit 2
	;;
esac

missing=()
for package in "${packages[@]}"; do
	state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
	[ "$state" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

echo "installing: ${missing[*]}"
root=()
if [ "$(id -u)" != 0 ]; then
	root=(sudo)
fi
export DEBIAN_FRONTEND=noninteractive
"${root[@]}" apt-get update -qq
"${root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" </dev/null
