#!/bin/sh
# Measures this machine's devices, then runs paged cells on each, several times, and sets
# the fastest run of each cell beside what the simulator's clock says of it. For a machine
# that does nothing else meanwhile; some minutes.
#
#	scripts/simulator.sh RESULTS-FOLDER [RUNS]
set -eu
out=$1
runs=${2:-5}
mkdir -p "$out"
ufm=$(mktemp -d)/ufm
go build -o "$ufm" ./cmd/ufm
XDG_CACHE_HOME=$(mktemp -d)
export XDG_CACHE_HOME
"$ufm" info --measure >"$out/info.txt" 2>/dev/null
for f in "$XDG_CACHE_HOME"/ufm/hardware/*.json; do
	cp "$f" "$out/$(basename "$f" | cut -d- -f1).json"
done

cell() { # backend, flags...
	backend=$1
	shift
	i=0
	while [ $i -lt "$runs" ]; do
		"$ufm" run --backend "$backend" --format jsonl "$@" 2>/dev/null
		i=$((i + 1))
	done
}
{
	cell vulkan --mode published,ufm --experts 16 --d-model 1024 --d-hidden 2048 --tokens 8 --budget 62.5% --steps 3
	cell vulkan --mode ufm --layers 2 --experts 16 --d-model 1024 --d-hidden 1024 --form swiglu --tokens 1 --top-k 4 --budget 50% --steps 8
	cell vulkan --mode ufm --layers 2 --experts 8 --d-model 1024 --d-hidden 2048 --dtype bf16 --tokens 32 --budget 50% --steps 3
} >"$out/vulkan.runs.jsonl"
{
	cell cpu --mode published,ufm --experts 48 --d-model 1024 --d-hidden 2048 --tokens 64 --budget 66% --steps 10
	cell cpu --mode published,ufm --layers 6 --experts 32 --d-model 2048 --d-hidden 768 --form swiglu --dtype bf16 --tokens 1 --top-k 8 --budget 50% --steps 20
	cell cpu --mode ufm --layers 2 --experts 32 --d-model 1024 --d-hidden 2048 --dtype bf16 --tokens 256 --budget 50% --steps 6
} >"$out/cpu.runs.jsonl"
for backend in vulkan cpu; do
	"$ufm" sim --predict "$out/$backend.runs.jsonl" --hardware "$out/$backend.json"
done
