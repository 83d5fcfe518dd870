#!/bin/sh
# Every check that a change has to pass; CI runs nothing else.
#
# UFM_VULKAN=required   no Vulkan device is a failure, not a skip
# UFM_TESTDATA=DIR      test data that is not part of the project
# CI=true               test data that is missing is a failure, not a skip
set -eu
cd "$(dirname "$0")/.."

step() {
	printf '\n== %s\n' "$*" >&2
	"$@"
}

before=$(git status --porcelain)

step sh scripts/driver.sh
step sh scripts/browser.sh
step sh scripts/lint.sh
step go test -race -timeout 8m ./...

# What takes minutes under the race detector, and the Vulkan suite once more under validation, which
# has the core checks in either kind. Each keeps little more than one core busy, so they run together.
step go test -timeout 10m ./cmd/ufm -run 'TestScripts/info_measure' &
measured=$!
if sh scripts/driver.sh --has-validation; then
	step env UFM_VALIDATION=core go test ./vk/...
	step env UFM_VALIDATION=sync go test -timeout 20m ./vk/... ./moe/vulkan/... &
	sync=$!
	step env UFM_VALIDATION=gpu go test -timeout 20m ./vk/... ./moe/vulkan/...
	wait $sync
elif [ "${UFM_VULKAN:-}" = required ]; then
	echo 'the Vulkan validation layer is missing' >&2
	exit 1
else
	echo 'SKIPPED: the Vulkan suite under validation, for there is no validation layer' >&2
fi
wait $measured

# Without cgo there is no Vulkan, and everything else must work.
step env -u UFM_VULKAN CGO_ENABLED=0 go vet ./...
step env -u UFM_VULKAN CGO_ENABLED=0 go test -timeout 5m ./...

# The CPU backend's plain path, and its assembly against the generator.
step go test -tags purego -timeout 5m ./moe ./internal/kernel/...
step go generate ./internal/kernel

if command -v glslc >/dev/null; then
	step go run ./shaders/build -check
else
	echo 'SKIPPED: compiling the shaders again, for there is no glslc' >&2
fi

# README's tables of results are those of the recorded runs.
step go run ./bench/readme -check README.md

after=$(git status --porcelain)
if [ "$before" != "$after" ]; then
	printf 'the checks changed the working tree:\n%s\n' "$after" >&2
	exit 1
fi
printf '\nall checks passed\n' >&2
