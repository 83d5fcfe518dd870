package bench

import (
	"math"

	"ufm/moe"
)

// place decides how many slots there are, and refuses what no mode could run.
func (j *job) place() (err error) {
	if b, ok := j.backend.(interface{ CheckShape(moe.Shape) error }); ok {
		if err := b.CheckShape(j.shape); err != nil {
			return err
		}
	}
	free := int64(math.MaxInt64)
	if j.Budget == (Budget{}) {
		if free, err = j.free(); err != nil {
			return err
		}
	}
	j.slots, err = j.Budget.Slots(j.shape, free)
	return err
}

// free is the device memory that an automatic budget may take: what is left after a
// runner's gates and activations, some headroom for the driver, and, where the bank takes
// the same memory, the bank.
func (j *job) free() (int64, error) {
	d, bank := j.backend.Device(), j.shape.BankBytes()
	free := d.MemBytes - d.MemBytes/16 - j.backend.WorkBytes(j.shape, j.Tokens)
	if d.Unified && j.MemoryLimit == 0 {
		if bank > d.MemBytes {
			return 0, &moe.HostMemoryError{Requested: bank, Available: d.MemBytes}
		}
		free -= bank
	}
	return free, nil
}
