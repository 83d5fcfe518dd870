package main

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"ufm/bench"
)

// numericsAction compares what a backend computes with the float64 reference, tensor by
// tensor.
func numericsAction(c *cli.Context) (err error) {
	if err := noTraces(c, "numerics"); err != nil {
		return err
	}
	b, err := openBackend(c, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close(), validationFindings()) }()
	list, err := bench.Numerics(c.Context, b, c.Uint64("seed"))
	if err != nil {
		return err
	}
	if err := bench.WriteNumerics(c.App.Writer, c.String("format"), list); err != nil {
		return err
	}
	for _, n := range list {
		if !n.OK {
			return differenceError{fmt.Sprintf("%s of %s, %d tokens, layer %d: %s is not the reference's",
				n.Form, n.DType, n.Tokens, n.Layer, n.Tensor)}
		}
	}
	return nil
}
