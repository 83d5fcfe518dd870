package trace

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// oracleBytes is the size of a record.
const oracleBytes = 24

// writeOracleGeneral writes single accesses as libCacheSim's binary trace, in the order
// of ufm sim --flat: token by token, layer by layer, in top-k order. A record is, little-endian
// and without padding,
//
//	uint32 time   the step
//	uint64 id     layer × experts + id
//	uint32 size   1
//	int64  next   number of the next access to the same id, counted from 1; -1: none
//
// Counting from 1 is what libCacheSim's own converter does.
func (t *Trace) writeOracleGeneral(w io.Writer) error {
	if err := t.validate(); err != nil {
		return fmt.Errorf("trace: write oracleGeneral: %w", err)
	}
	if len(t.Chosen) > math.MaxUint32 {
		return fmt.Errorf("trace: write oracleGeneral: %d accesses are more than %d",
			len(t.Chosen), uint32(math.MaxUint32))
	}
	next := t.nextUses()
	var record [oracleBytes]byte
	binary.LittleEndian.PutUint32(record[12:], 1)
	token, access := 0, 0
	for step, size := range t.StepSizes {
		binary.LittleEndian.PutUint32(record[0:], uint32(step))
		for range size {
			for layer := range t.Layers {
				for _, e := range t.Row(token, layer) {
					if e < 0 {
						continue // not routed in this layer
					}
					id, use := uint64(layer*t.Experts)+uint64(e), int64(next[access])
					if use == 0 {
						use = -1
					}
					binary.LittleEndian.PutUint64(record[4:], id)
					binary.LittleEndian.PutUint64(record[16:], uint64(use))
					if _, err := w.Write(record[:]); err != nil {
						return fmt.Errorf("trace: write oracleGeneral: %w", err)
					}
					access++
				}
			}
			token++
		}
	}
	return nil
}

// nextUses is for each single access the number, from 1, of the next one of the same
// expert, or 0.
func (t *Trace) nextUses() []uint32 {
	routed := 0
	for _, e := range t.Chosen {
		if e >= 0 {
			routed++
		}
	}
	next := make([]uint32, routed)
	last := make([]uint32, t.Layers*t.Experts) // by dense id: number of its use after i
	access := routed
	for i := len(t.Chosen) - 1; i >= 0; i-- {
		e := t.Chosen[i]
		if e < 0 {
			continue
		}
		id := i / t.TopK % t.Layers * t.Experts
		access--
		next[access] = last[id+int(e)]
		last[id+int(e)] = uint32(access + 1)
	}
	return next
}
