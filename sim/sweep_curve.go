package sim

import "ufm/pager"

// curves are the rows of a sweep of miss-ratio curves.
func (s *Sweep) curves() (rows []Row, notes []string, err error) {
	for i := range s.Traces {
		w := s.workload(&s.Traces[i])
		_, groups := FlatGroups(w.Trace)
		misses, err := LRUCurve(w.shape, groups)
		if err != nil {
			return nil, nil, err
		}
		list := s.Slots
		if list == "" {
			list = "1-100%*1.000000001" // each size is at least one more than the last
		}
		sizes, some, err := ParseSlots(list, w.shape.Universe())
		if err != nil {
			return nil, nil, err
		}
		for _, note := range some {
			notes = append(notes, w.Name+": "+note)
		}
		accesses := int64(len(w.flat))
		for _, slots := range sizes {
			row := newRow(w, slots, pager.Stats{
				Accesses: accesses, Hits: accesses - misses[slots], Misses: misses[slots],
				Uploads: misses[slots],
			})
			row.Policy, row.Flat, row.Seed = "lru", true, s.Seed
			rows = append(rows, row)
		}
	}
	return rows, notes, nil
}
