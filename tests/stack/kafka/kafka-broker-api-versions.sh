#!/usr/bin/env bash
# --bootstrap-server HOST:PORT: sends the broker an ApiVersions request, and fails unless the beginning of an answer comes.
set -euo pipefail
exec 3<>"/dev/tcp/${2%:*}/${2##*:}"
printf '\x00\x00\x00\x0a\x00\x12\x00\x00\x00\x00\x00\x01\xff\xff' >&3
[[ $(timeout 10 head -c 8 <&3 | wc -c) == 8 ]]
