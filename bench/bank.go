package bench

import (
	"context"
	"fmt"
	"time"

	"ufm/moe"
)

// shelf holds the bank that jobs share. It has one model's at a time: banks are large.
type shelf struct {
	model moe.Model
	bank  moe.Bank // nil: none was built
}

// bank is the host's copy of all experts. It is built once, when the first mode has
// taken its device memory, so that what does not fit the device is known in no time.
func (j *job) bank(ctx context.Context) (moe.Bank, error) {
	if j.held() != nil {
		return j.held(), nil
	}
	if err := j.banks.close(); err != nil {
		return nil, err
	}
	bank, err := BuildBank(ctx, j.backend, j.Model, j.observer)
	if err != nil {
		return nil, err
	}
	j.banks.model, j.banks.bank = j.Model, bank
	return bank, nil
}

// BuildBank fills a bank, and notes how fast that was and, where the backend tells, how the
// host holds it.
func BuildBank(ctx context.Context, b moe.Backend, m moe.Model, o Observer) (moe.Bank, error) {
	total, start := m.Shape().BankBytes(), time.Now()
	bank, err := b.NewBank(ctx, m, func(done int64) { o.Progress(BuildingBank, done, total) })
	if err != nil {
		return nil, fmt.Errorf("bench: bank of %s: %w", size(total), err)
	}
	seconds := time.Since(start).Seconds()
	note := fmt.Sprintf("bank of %s filled in %.3g s, %.3g GB/s",
		size(total), seconds, float64(total)/seconds/1e9)
	if d, ok := bank.(interface{ Describe() string }); ok {
		note += ": " + d.Describe()
	}
	o.Note(note)
	return bank, nil
}

// held is this job's bank if it was built.
func (j *job) held() moe.Bank {
	if j.banks == nil || j.banks.model != j.Model {
		return nil
	}
	return j.banks.bank
}

func (s *shelf) close() error {
	if s.bank == nil {
		return nil
	}
	err := s.bank.Close()
	s.bank, s.model = nil, nil
	return err
}
