#!/bin/sh
# Make sure a program is there: `apt-install.sh PROGRAM PACKAGE...` installs the packages when root and the program is missing.
set -eu
program=$1
shift
missing() {
    ! command -v "$program" >/dev/null && return 0
    case "$program" in
        # The interpreters alone are not enough: the tests need these of their libraries.
        php) ! php -r 'exit((int) !(extension_loaded("zmq") && extension_loaded("curl") && extension_loaded("pdo_sqlite")
            && stream_resolve_include_path("Doctrine/ORM/autoload.php")
            && stream_resolve_include_path("Symfony/Component/Cache/autoload.php")));' ;;
        ruby) ! ruby -e 'require "ffi-rzmq"' 2>/dev/null ;;
        *) false ;;
    esac
}
missing || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "$program is missing. Install it (Debian: apt-get install $*) and run this again." >&2
    # On a laptop the tests that need it are skipped; in CI they must run.
    [ "${CI:-}" != true ]
    exit
fi
echo "Installing $*..."
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "$@" >/dev/null
