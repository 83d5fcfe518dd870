#!/bin/sh
# Sees to a Vulkan driver: installs lavapipe, Mesa's driver for the CPU, with the
# validation layer and the shader compiler, where they are missing and it may.
#
#   driver.sh                    install what is missing; says what it cannot
#   driver.sh --has-validation   succeeds if the validation layer is installed
set -eu

# Of these the first three run the Vulkan tests; the others compile shaders.
packages='libvulkan1 mesa-vulkan-drivers vulkan-validationlayers glslc spirv-tools'

has_loader() { ldconfig -p 2>/dev/null | grep -q 'libvulkan\.so\.1'; }
has_driver() { manifest icd.d '*.json'; }
has_validation() { manifest explicit_layer.d '*khronos_validation*.json'; }

# manifest FOLDER PATTERN: is there such a file where the loader looks?
manifest() {
	for root in /etc /usr/share /usr/local/share; do
		if ls "$root/vulkan/$1"/$2 >/dev/null 2>&1; then return 0; fi
	done
	return 1
}

if [ "${1:-}" = --has-validation ]; then
	has_validation
	exit
fi

if has_loader && has_driver && has_validation && command -v glslc >/dev/null; then
	exit 0
fi

as_root=
if [ "$(id -u)" != 0 ]; then
	as_root='sudo -n'
fi
if command -v apt-get >/dev/null && $as_root true 2>/dev/null; then
	export DEBIAN_FRONTEND=noninteractive
	$as_root apt-get update -qq || true
	for p in $packages; do
		$as_root apt-get install -qq -y --no-install-recommends "$p" >/dev/null ||
			echo "could not install $p" >&2
	done
fi

if ! has_loader || ! has_driver; then
	echo "there is no Vulkan driver; on Debian and Ubuntu: apt-get install $packages" >&2
	if [ "${UFM_VULKAN:-}" = required ]; then
		exit 1
	fi
	echo 'SKIPPED: everything that needs Vulkan' >&2
fi
