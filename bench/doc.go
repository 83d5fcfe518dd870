// Package bench runs a model in several modes and accounts for each honestly: what
// was moved, what had to be moved, what the hardware would have allowed, and what
// stood in the way.
//
//	spec := bench.Spec{Model: m, Modes: modes, Budget: budget, Tokens: 512, Steps: 10}
//	spec.Ceilings, err = bench.Ceilings(ctx, backend, cache)
//	rows, err := bench.Run(ctx, backend, spec, nil)
//	err = bench.Write(os.Stdout, "table", rows)
//	lines := bench.Verdict(rows, backend.Device())
//
// A cell is one mode of one model. It becomes one Row whatever happens to it: device
// memory that does not suffice is a status, not a crash.
//
// Times are milliseconds of a step, rates 1e9 bytes a second, sizes bytes. A figure
// that is not known is nil. Run is not safe for concurrent use of one backend.
package bench
