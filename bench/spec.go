package bench

import (
	"errors"
	"fmt"
	"io"
	"time"

	"ufm/internal/hardware"
	"ufm/moe"
	"ufm/pager"
)

// MaxTokens is the most tokens of a step: a step's buffers are taken at once.
const MaxTokens = 1 << 20

// Spec says what to run and what to account for.
type Spec struct {
	Model moe.Model
	Modes []moe.Mode
	// Activations are recorded inputs that each layer is fed, Tokens rows a step,
	// cycling; its outputs are checked against the recorded ones. Nil: seeded noise
	// goes into the first layer and each layer feeds the next.
	Activations *moe.Activations
	// Routing replaces the router's choice. Nil: the model's router decides.
	Routing *moe.Routing
	Budget  Budget
	// MemoryLimit is the one that the backend was opened with, or 0. An automatic budget
	// leaves room for the bank in memory that is shared, but not within a limit.
	MemoryLimit int64
	Policy      string // of mode ufm, as pager.NewPolicy takes it; "": pager.DefaultPolicy
	Tokens      int    // of a step
	Seed        uint64
	// Steps is how many are measured after the warm-up; 0: as many as fit Duration.
	Steps    int
	Duration time.Duration
	// Verify checks the first step of each mode against the float64 reference.
	Verify bool
	// Ceilings are what the limit is made from; unmeasured ones leave it unknown.
	Ceilings hardware.Ceilings
	// RunID is what the rows of a larger run share; "" makes one up.
	RunID string
	// Events receives the event log of mode ufm, TraceOut the experts that its tokens
	// (or those of the first mode, without ufm) chose. Nil: neither.
	Events, TraceOut io.Writer
}

// Validate lists what is wrong with the spec, as far as no device is needed to tell.
func (s *Spec) Validate() error {
	errs := []error{s.Model.Shape().Validate(), s.checkModes()}
	if s.Tokens < 1 || s.Tokens > MaxTokens {
		errs = append(errs, fmt.Errorf("bench: tokens must lie between 1 and %d, not %d",
			MaxTokens, s.Tokens))
	}
	if s.Steps < 0 || s.Steps == 0 && s.Duration <= 0 {
		errs = append(errs, fmt.Errorf("bench: neither steps (%d) nor a duration (%v) to measure",
			s.Steps, s.Duration))
	}
	if s.Activations != nil && s.Routing != nil {
		errs = append(errs, errors.New("bench: recorded activations were routed by the model's "+
			"router, another routing cannot be checked against them"))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	slots, err := s.Budget.Slots(s.Model.Shape(), s.Model.Shape().BankBytes())
	if err != nil {
		return err
	}
	_, err = s.policy(slots)
	return err
}

func (s *Spec) checkModes() error {
	if len(s.Modes) == 0 {
		return errors.New("bench: no mode to run")
	}
	asked := map[moe.Mode]bool{}
	for _, m := range s.Modes {
		if asked[m] {
			return fmt.Errorf("bench: mode %s is asked for twice", m)
		}
		asked[m] = true
	}
	if s.Events != nil && !asked[moe.UFM] {
		return errors.New("bench: an event log needs mode ufm")
	}
	return nil
}

// policy makes a fresh policy for mode ufm; policies learn, so no two cells share one.
func (s *Spec) policy(slots int) (pager.Policy, error) {
	name := s.Policy
	if name == "" {
		name = pager.DefaultPolicy
	}
	return pager.NewPolicy(name, s.Model.Shape().Paging(), slots)
}

// ParseMode reads a mode's name.
func ParseMode(name string) (moe.Mode, error) {
	for m := moe.Baseline; m <= moe.UFM; m++ {
		if name == m.String() {
			return m, nil
		}
	}
	return 0, fmt.Errorf("bench: unknown mode %q (baseline, naive, published, ufm)", name)
}
