// Package sweep runs many cells, each in a child process, and keeps a row of each,
// whatever happens to it.
//
//	plan, err := sweep.Load([]string{"quick"}, sweep.Traces{})
//	result, err := sweep.Run(ctx, sweep.Options{
//		Plan: plan, Dir: "results/mine", Child: []string{exe, "bench-cells"},
//	}, observer)
//
// A plan is a list of cells; line n of the folder's rows.jsonl is cell n of the plan.
// Rows are appended in that order and synced one by one, so that a kill at any moment
// loses at most the cell under way, and a resumed sweep knows where to go on from the
// number of rows alone.
//
// Neighbouring cells of one model share a child, because to build a bank takes longer
// than to measure a mode. A child that dies takes only its current cell along: the
// rest go to a new one. The child's side is Serve.
package sweep
