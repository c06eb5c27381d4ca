#!/bin/sh
# Makes sure that a chromium is there for the browser tests: installs Debian's where it may, else names the command.
set -eu
for name in chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null 2>&1; then exit 0; fi
done
install="apt-get install -y chromium"
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing chromium for the browser tests: $install"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive $install -qq >/dev/null
else
    echo "The browser tests need chromium, which is not here. Type:  sudo $install" >&2
    exit 1
fi
