#!/bin/sh
# Measures this machine's devices and runs paged cells on each, in turn and several times,
# for the tables that set the fastest run of each cell beside what the simulator's clock says
# of it. What else a machine does comes and goes: so there is a measurement before and after
# each round of cells, and on both sides the fastest counts. For a machine that does little
# else meanwhile; some minutes a round.
#
#	scripts/simulator.sh RESULTS-FOLDER [ROUNDS]
set -eu
out=$1
rounds=${2:-5}
mkdir -p "$out"
rm -f "$out"/vulkan.* "$out"/cpu.*
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
ufm=$tmp/ufm
go build -o "$ufm" ./cmd/ufm

measure() { # number
	XDG_CACHE_HOME=$tmp/$1 "$ufm" info --measure >"$out/info.txt" 2>/dev/null
	for f in "$tmp/$1"/ufm/hardware/*.json; do
		cp "$f" "$out/$(basename "$f" | cut -d- -f1).$1.json"
	done
}

cell() { # backend, flags...
	backend=$1
	shift
	XDG_CACHE_HOME=$tmp/0 "$ufm" run --backend "$backend" --format jsonl "$@" \
		>>"$out/$backend.runs.jsonl" 2>/dev/null
}

measure 0
i=0
while [ $i -lt "$rounds" ]; do
	i=$((i + 1))
	cell vulkan --mode published,ufm --experts 16 --d-model 1024 --d-hidden 2048 --tokens 8 --budget 62.5% --steps 3
	cell vulkan --mode ufm --layers 2 --experts 16 --d-model 1024 --d-hidden 1024 --form swiglu --tokens 1 --top-k 4 --budget 50% --steps 8
	cell vulkan --mode ufm --layers 2 --experts 8 --d-model 1024 --d-hidden 2048 --dtype bf16 --tokens 32 --budget 50% --steps 3
	cell cpu --mode published,ufm --experts 48 --d-model 1024 --d-hidden 2048 --tokens 64 --budget 66% --steps 10
	cell cpu --mode published,ufm --layers 6 --experts 32 --d-model 2048 --d-hidden 768 --form swiglu --dtype bf16 --tokens 1 --top-k 8 --budget 50% --steps 20
	cell cpu --mode ufm --layers 2 --experts 32 --d-model 1024 --d-hidden 2048 --dtype bf16 --tokens 256 --budget 50% --steps 6
	measure $i
done
for backend in vulkan cpu; do
	"$ufm" sim --predict "$out/$backend.runs.jsonl" --hardware "$out/$backend.$i.json"
done
