package sim

import (
	"fmt"
	"io"

	"ufm/internal/trace"
	"ufm/pager"
)

// Difference is the first place where a log tells something else than a replay.
type Difference struct {
	Line int    // of the log, from 1
	Text string // in words
}

// String is the difference with its line.
func (d *Difference) String() string { return fmt.Sprintf("line %d: %s", d.Line, d.Text) }

// Check replays the groups that an event log tells, with its policy, slots and order,
// and compares every hit, miss, slot and victim. Prefetch requests are taken from the
// log; what they do is compared. It returns nil where all is equal.
func Check(log io.Reader) (*Difference, error) {
	c, err := newChecker(log)
	if err != nil {
		return nil, err
	}
	policy, err := pager.NewPolicy(c.header.Policy, c.header.Shape, c.header.Slots)
	if err != nil {
		return nil, fmt.Errorf("sim: policy of the event log: %w", err)
	}
	if err := c.start(policy); err != nil {
		return nil, err
	}
	var experts []pager.ExpertID
	for {
		ev, err := c.log.Next()
		if err == io.EOF {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		experts = ev.Experts(experts[:0])
		diff, err := c.step(ev, pager.Group{
			Step: ev.Step, Layer: ev.Layer, Phase: ev.Phase, Experts: experts,
		})
		if diff != nil || err != nil {
			return diff, err
		}
	}
}

// CheckTrace does the same with the groups of a trace, which the log must tell too.
func CheckTrace(log io.Reader, t *trace.Trace) (*Difference, error) {
	c, err := newChecker(log)
	if err != nil {
		return nil, err
	}
	shape, groups := Groups(t)
	if shape != c.header.Shape {
		return &Difference{1, fmt.Sprintf("the log is of %s, the trace of %s",
			shapeWords(c.header.Shape), shapeWords(shape))}, nil
	}
	policy, err := newPolicy(shape, groups, Options{Policy: c.header.Policy, Slots: c.header.Slots})
	if err != nil {
		return nil, fmt.Errorf("sim: policy of the event log: %w", err)
	}
	if err := c.start(policy); err != nil {
		return nil, err
	}
	for i, g := range groups {
		ev, err := c.log.Next()
		if err == io.EOF {
			return &Difference{c.log.Line() + 1, fmt.Sprintf(
				"the log ends after %d groups, the trace has %d", i, len(groups))}, nil
		}
		if err != nil {
			return nil, err
		}
		diff, err := c.step(ev, g)
		if diff != nil || err != nil {
			return diff, err
		}
	}
	if _, err := c.log.Next(); err != io.EOF {
		return &Difference{c.log.Line(), fmt.Sprintf(
			"the log goes on after the trace's %d groups", len(groups))}, nil
	}
	return nil, nil
}

// checker replays a log.
type checker struct {
	log    *pager.LogReader
	header pager.LogHeader
	pager  *pager.Pager
	want   *pager.Event // what the log tells of the current group
	diff   string       // what the replay did otherwise
}

func newChecker(log io.Reader) (*checker, error) {
	r, err := pager.ReadLog(log)
	if err != nil {
		return nil, err
	}
	return &checker{log: r, header: r.Header()}, nil
}

func (c *checker) start(policy pager.Policy) error {
	order := pager.ResidentFirst
	if c.header.Order == pager.Ascending.String() {
		order = pager.Ascending
	}
	var err error
	c.pager, err = pager.New(pager.Options{
		Shape: c.header.Shape, Slots: c.header.Slots, Policy: policy, Order: order,
		Observe: func(got *pager.Event) { c.diff = compare(got, c.want) },
	})
	return err
}

// step replays group g and compares the outcome with ev, what the log tells of it.
func (c *checker) step(ev *pager.Event, g pager.Group) (*Difference, error) {
	c.want, c.diff = ev, ""
	for _, p := range ev.Prefetches {
		// One by one: a call's requests are logged in the order of their decisions.
		if err := c.pager.Prefetch([]pager.ExpertID{p.Expert}); err != nil {
			return nil, err
		}
	}
	if _, err := c.pager.Request(g); err != nil {
		return nil, fmt.Errorf("sim: event log: line %d: %w", c.log.Line(), err)
	}
	if c.diff != "" {
		where := fmt.Sprintf("group %d (step %d, layer %d, %v): ", ev.Seq, g.Step, g.Layer, g.Phase)
		return &Difference{c.log.Line(), where + c.diff}, nil
	}
	return nil, nil
}

func shapeWords(s pager.Shape) string {
	return fmt.Sprintf("%d layers of %d experts, top-%d", s.Layers, s.Experts, s.TopK)
}
