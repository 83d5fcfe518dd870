#!/bin/sh
# Sees to a Chromium for the test of the report: installs it where it is missing and may.
# Without one that test is skipped, and fails in CI.
set -eu

for name in chromium chromium-browser google-chrome headless-shell; do
	if command -v "$name" >/dev/null; then exit 0; fi
done
as_root=
if [ "$(id -u)" != 0 ]; then
	as_root='sudo -n'
fi
if command -v apt-get >/dev/null && $as_root true 2>/dev/null; then
	export DEBIAN_FRONTEND=noninteractive
	$as_root apt-get update -qq || true
	$as_root apt-get install -qq -y --no-install-recommends chromium fonts-liberation >/dev/null ||
		echo 'could not install chromium' >&2
fi
if ! command -v chromium >/dev/null; then
	echo 'there is no Chromium; on Debian: apt-get install chromium' >&2
	if [ "${CI:-}" = true ]; then
		exit 1
	fi
	echo 'SKIPPED: the report in a browser' >&2
fi
