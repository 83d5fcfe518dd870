package bench

import "ufm/moe"

// Expect returns the row of each mode of spec as far as it is known before anything
// runs: what stands for a cell that could not tell its own end. Its status is ok.
func Expect(backend string, d moe.Device, spec Spec) ([]Row, error) {
	j, err := newJob(described{name: backend, device: d}, spec, nil)
	if err != nil {
		return nil, err
	}
	rows := make([]Row, len(spec.Modes))
	for i, mode := range spec.Modes {
		policy, err := spec.policy(j.slots)
		if err != nil {
			return nil, err
		}
		rows[i] = j.asked(mode, policy)
	}
	return rows, nil
}

// described is a backend of which only the description is here.
type described struct {
	moe.Backend
	name   string
	device moe.Device
}

func (b described) Name() string       { return b.name }
func (b described) Device() moe.Device { return b.device }
