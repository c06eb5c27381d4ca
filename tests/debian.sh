#!/bin/sh
# Installs the Debian programs that the tests need: chromium, and smtp-sink of Postfix as an independent receiving server.
# Installs or unpacks them where it may, else prints the command.
set -eu
cd "$(dirname "$0")/.."

as_root() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; }

browser() {
    for name in chromium chromium-browser google-chrome; do
        if command -v "$name" >/dev/null 2>&1; then return; fi
    done
    install="apt-get install -y chromium"
    if as_root; then
        echo "installing chromium for the browser tests: $install"
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive $install -qq >/dev/null
    else
        echo "The browser tests need chromium, which is not here. Type:  sudo $install" >&2
        exit 1
    fi
}

# Unpacked and not installed: installing would start a mail server.
smtp_sink() {
    if PATH="$PATH:/usr/sbin:.cache/postfix" command -v smtp-sink >/dev/null 2>&1; then return; fi
    mkdir -p .cache/postfix
    if (cd .cache/postfix && unpack) >/dev/null 2>&1; then
        echo "unpacked smtp-sink of Debian's postfix into .cache/postfix"
    else
        rm -rf .cache/postfix
        echo "smtp-sink is not here, and the tests that need it will be skipped. Type:  sudo apt-get install postfix" >&2
    fi
}

unpack() {
    apt-get download postfix || { as_root && apt-get update -qq && apt-get download postfix; }
    dpkg -x postfix_*.deb .
    rm postfix_*.deb
    printf '#!/bin/sh\nLD_LIBRARY_PATH=%s/usr/lib/postfix exec %s/usr/sbin/smtp-sink "$@"\n' "$PWD" "$PWD" >smtp-sink
    chmod +x smtp-sink
    ! LD_LIBRARY_PATH="$PWD/usr/lib/postfix" ldd usr/sbin/smtp-sink | grep -q 'not found'
}

browser
smtp_sink
