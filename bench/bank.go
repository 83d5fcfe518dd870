package bench

import (
	"context"
	"fmt"

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
	total := j.shape.BankBytes()
	bank, err := j.backend.NewBank(ctx, j.Model, func(done int64) {
		j.observer.Progress(BuildingBank, done, total)
	})
	if err != nil {
		return nil, fmt.Errorf("bench: bank of %s: %w", size(total), err)
	}
	j.banks.model, j.banks.bank = j.Model, bank
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
