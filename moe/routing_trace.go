package moe

import "fmt"

// setTrace takes t as the routing's source if it fits the shape. Tokens that are not
// routed in every layer (a prefill's last layer may skip all but one) are left out.
func (r *Routing) setTrace(t *RoutingTrace) error {
	s := r.shape
	if t.Experts != s.Experts || t.TopK != s.TopK || t.Layers < s.Layers {
		return fmt.Errorf("moe: routing %q: trace of %d layers, %d experts, top-%d does not fit "+
			"a model of %d, %d, top-%d (only layers may be fewer in the model)",
			r.spec, t.Layers, t.Experts, t.TopK, s.Layers, s.Experts, s.TopK)
	}
	row := t.Layers * t.TopK
	if len(t.IDs)%row != 0 {
		return fmt.Errorf("moe: routing %q: %d ids are no multiple of %d layers × top-%d",
			r.spec, len(t.IDs), t.Layers, t.TopK)
	}
	r.trace = t
	for token := range len(t.IDs) / row {
		routed, err := r.checkToken(token)
		if err != nil {
			return err
		}
		if routed {
			r.usable = append(r.usable, token)
		}
	}
	if len(r.usable) == 0 {
		return fmt.Errorf("moe: routing %q: trace has no token that is routed in all layers", r.spec)
	}
	return nil
}

// checkToken reports whether a token of the trace is routed in all the model's layers.
func (r *Routing) checkToken(token int) (routed bool, err error) {
	for l := range r.shape.Layers {
		ids := r.traceIDs(token, l)
		if ids[0] == -1 {
			return false, nil
		}
		for _, e := range ids {
			if e < 0 || int(e) >= r.shape.Experts {
				return false, fmt.Errorf("moe: routing %q: token %d, layer %d: expert %d outside 0..%d",
					r.spec, token, l, e, r.shape.Experts-1)
			}
		}
	}
	return true, nil
}

func (r *Routing) traceIDs(token, layer int) []int16 {
	return r.trace.IDs[(token*r.trace.Layers+layer)*r.trace.TopK:][:r.trace.TopK]
}

// fillTrace takes the trace's tokens in turn and begins anew at its end.
func (r *Routing) fillTrace(step, tokens int, dst []uint32) error {
	k := r.shape.TopK
	for l := range r.shape.Layers {
		ids := r.layerIDs(dst, l)
		for t := range tokens {
			token := r.usable[(step*tokens+t)%len(r.usable)]
			for j, e := range r.traceIDs(token, l) {
				ids[t*k+j] = uint32(e)
			}
		}
	}
	return nil
}
