#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs the two programs against each other and compares what the reader prints
# with expected.txt.
#
#   run.sh DIR     the folder that holds example_put_get_writer and _reader
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
dir=$1
store=example-put-get-$$

coproc writer { exec "$dir/example_put_get_writer" "$store"; }
pid=$! input=${writer[1]}
read -r hi lo <&"${writer[0]}"
got=$("$dir/example_put_get_reader" "$store" "$hi" "$lo")
exec {input}>&- # the writer leaves when its input ends
wait "$pid"

echo "$got"
diff "$here/expected.txt" - <<<"$got"
