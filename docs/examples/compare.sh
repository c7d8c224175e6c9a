#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs a program and compares what it prints with a file. Folders in front of
# source files are left out: they depend on where the tree lies.
#
#   compare.sh PROGRAM EXPECTED
set -euo pipefail

got=$("$1" | sed 's|[^ ]*/\([a-z_]*\.c:\)|\1|')
echo "$got"
diff "$2" - <<<"$got"
