#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What tools/install-deps and tools/bench-peers refuse, and say: test_scripts.sh TOP
set -u
top=$1
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
failures=0

# expect STATUS COMMAND...
expect() {
	local want=$1 got=0
	shift
	"$@" >"$tmp/out" 2>"$tmp/err" || got=$?
	if [ "$got" -ne "$want" ]; then
		echo "FAILED: $*: exit $got, expected $want"
		sed 's/^/    /' "$tmp/err"
		failures=$((failures + 1))
	fi
}

says() {
	if ! grep -qF -- "$1" "$tmp/err"; then
		echo "FAILED: stderr lacks: $1"
		failures=$((failures + 1))
	fi
}

deps=$top/tools/install-deps
expect 0 "$deps" --print build
expect 2 "$deps" nonsense
says "no set 'nonsense'"
# Who may not install is told the line. Everything is missing to this dpkg-query.
mkdir "$tmp/bin"
printf '#!/bin/sh\nexit 1\n' >"$tmp/bin/dpkg-query"
printf '#!/bin/sh\necho 1000\n' >"$tmp/bin/id"
printf '#!/bin/sh\nexit 1\n' >"$tmp/bin/sudo"
chmod +x "$tmp"/bin/*
PATH=$tmp/bin:$PATH expect 2 "$deps" build
says "may not"
if ! grep -q '^apt-get update && apt-get install .*liblmdb-dev' "$tmp/out"; then
	echo "FAILED: the line to run is not printed"
	failures=$((failures + 1))
fi
PATH=$tmp/bin:$PATH expect 0 "$deps" --print build
if ! grep -qx liblz4-dev "$tmp/out"; then
	echo "FAILED: --print does not print what is missing"
	failures=$((failures + 1))
fi

if ! PATH=$tmp/bin:$PATH "$deps" --print peers | grep -qx redis-server; then
	echo "FAILED: --print peers does not print redis-server"
	failures=$((failures + 1))
fi
expect 2 "$top/tools/peers/env" nobody "$tmp/env"
says "tools/peers/env dask|plasma|ray DIR"
# Each Python says that it is newer than pyarrow 11 is made for.
real=$(python3 -c 'import sys; print(sys.executable)')
cat >"$tmp/bin/python3" <<-EOF
	#!/bin/sh
	[ "\$1" = -c ] || exit 1
	exec "$real" -c "import sys; sys.version_info = (3, 12, 0, 'final', 0)
	\$2"
EOF
chmod +x "$tmp/bin/python3"
for name in python3.{7,8,9,10,11}; do
	cp "$tmp/bin/python3" "$tmp/bin/$name"
done
PATH=$tmp/bin:$PATH expect 2 "$top/tools/peers/env" plasma "$tmp/env"
says "no Python 3.7 to 3.11"
if [ -e "$tmp/env" ]; then
	echo "FAILED: an environment is made without a Python"
	failures=$((failures + 1))
fi

peers=$top/tools/bench-peers
for args in "" "nobody" "lmdb --rounds 0" "lmdb --rounds x" "lmdb --rounds" \
	"lmdb --what"; do
	# shellcheck disable=SC2086 # words of their own
	expect 2 "$peers" $args
	says "tools/bench-peers ray|plasma|redis|lmdb|tbb|openmp|starpu|dask"
done

expect 2 "$peers" lmdb --rounds 101
says "--rounds is '101'; give a whole number from 1 to 100"
expect 2 "$peers" ray --quick
says "--quick is not for ray"
expect 2 "$peers" lmdb --bin "$tmp"
says "there is no program mob in it"

echo "$failures failures"
[ $failures -eq 0 ]
